// SPDX-License-Identifier: Apache-2.0
#include "api/states.h"
#include "backends/backends.h"
#include "ops/ops.h"

namespace kvant::api {

Engine::State::State(engine::Plan own, const engine::EngineOptions& options)
    : plan(std::move(own)), runner(plan, backends::shared(), options) {}

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
    const ir::Graph& graph = model.state().graph;
    const engine::EngineOptions running{.spin = options.spin};
    auto state =
        std::make_shared<State>(engine::build(graph, ops::standard(), backends::shared(), build), running);
    state->shaped =
        std::make_unique<engine::ShapedEngine>(graph, ops::standard(), backends::shared(), build, running);
    return Engine(std::move(state));
  });
}

Engine Engine::load(const std::filesystem::path& plan, int threads) {
  return guarded([&] {
    return noting([&] { return "while reading " + plan.string(); },
                  [&] {
                    return Engine(std::make_shared<State>(engine::read_plan(plan, ops::standard()),
                                                          engine::EngineOptions{.threads = threads}));
                  });
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
