// SPDX-License-Identifier: Apache-2.0
#include "api/states.h"
#include "backends/backends.h"
#include "ops/ops.h"

namespace kvant::api {

Engine::State::State(engine::Plan own, std::shared_ptr<backends::DeviceBackends> on,
                     const engine::EngineOptions& options)
    : device(std::move(on)), plan(std::move(own)), runner(plan, device->list(), options) {
  // Constants that the engine has on the host are not kept twice.
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const std::vector<Tensor>& loaded = runner.plan().steps[i].packed;
    if (!loaded.empty()) plan.steps[i].packed = loaded;
  }
}

Engine::State::State(const State& origin, const engine::EngineOptions& options)
    : device(origin.device),
      plan(origin.plan),
      runner(origin.runner.context(options)),
      make_shaped(origin.make_shaped) {
  if (make_shaped) shaped = make_shaped(options);
}

engine::Engine& Engine::State::engine_for(const std::vector<Shape>& shapes) {
  bool as_planned = true;
  for (size_t i = 0; i < shapes.size(); ++i)
    as_planned = as_planned && shapes[i] == *plan.graph.value(plan.graph.inputs()[i]).type.shape;
  return as_planned || !shaped ? runner : shaped->engine_for(shapes);
}

std::vector<Tensor> Engine::State::run(const std::vector<Tensor>& inputs) {
  bool as_planned = true;
  for (size_t i = 0; i < inputs.size(); ++i)
    as_planned = as_planned && inputs[i].shape() == *plan.graph.value(plan.graph.inputs()[i]).type.shape;
  return as_planned || !shaped ? runner.run(inputs) : shaped->run(inputs);
}

Engine Engine::build(const Model& model, const BuildOptions& options) {
  return guarded([&] {
    if (options.batch < 1) fail("a batch of {}: give 1 or more", options.batch);
    if (options.threads < 0)
      fail("{} threads: give 1 or more, or 0 for the cores available", options.threads);
    engine::BuildOptions build{.batch = options.batch, .threads = options.threads};
    build.tune = options.tune;
    const auto device = std::make_shared<backends::DeviceBackends>(options.device);
    const engine::EngineOptions running{.spin = options.spin};
    const ir::Graph& graph = model.state().graph;
    auto state = std::make_shared<State>(engine::build(graph, ops::standard(), device->list(), build), device,
                                         running);
    state->make_shaped = [model, device, build](const engine::EngineOptions& how) {
      return std::make_unique<engine::ShapedEngine>(model.state().graph, ops::standard(), device->list(),
                                                    build, how);
    };
    state->shaped = state->make_shaped(running);
    return Engine(std::move(state));
  });
}

Engine Engine::load(const std::filesystem::path& plan, int threads, const std::string& device) {
  return guarded([&] {
    return noting([&] { return "while reading " + plan.string(); },
                  [&] {
                    return Engine(std::make_shared<State>(engine::read_plan(plan, ops::standard()),
                                                          std::make_shared<backends::DeviceBackends>(device),
                                                          engine::EngineOptions{.threads = threads}));
                  });
  });
}

Engine Engine::context(int threads) const {
  return guarded([&] {
    if (threads < 0) fail("{} threads: give 1 or more, or 0 for those of the plan", threads);
    return Engine(std::make_shared<State>(*state_, engine::EngineOptions{.threads = threads}));
  });
}

void Engine::save(const std::filesystem::path& plan) const {
  guarded([&] { engine::write_plan(state_->plan, plan); });
}

std::vector<Array> Engine::run(const std::vector<Array>& inputs) {
  return guarded([&] {
    const engine::Plan& plan = state_->plan;
    const std::vector<Tensor> tensors = tensors_of(inputs, plan.graph, plan.input_count);
    std::vector<Array> outputs;
    for (const Tensor& tensor : state_->run(tensors)) outputs.push_back(array_of(tensor));
    return outputs;
  });
}

std::vector<std::vector<int64_t>> Engine::input_shapes() const {
  const engine::Plan& plan = state_->plan;
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < plan.input_count; ++i)
    shapes.push_back(*plan.graph.value(plan.graph.inputs()[i]).type.shape);
  return shapes;
}

}  // namespace kvant::api
