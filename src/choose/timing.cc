// SPDX-License-Identifier: Apache-2.0
#include "choose/timing.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/interrupt.h"
#include "base/random.h"
#include "engine/engine.h"
#include "ir/qdq.h"

namespace kvant::choose {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLongest = 5.0;  // seconds, for each loop

Tensor random_input(const ir::Type& type, Random& random) {
  Tensor floats(DType::Float32, *type.shape);
  for (float& x : floats.mutable_data<float>())
    x = is_float(type.dtype) ? random.normal() : static_cast<float>(random.below(2));
  return floats.cast(type.dtype);
}

bool is_weighted(const ir::Node& node) {
  return node.op == "Conv" || node.op == "ConvTranspose" || node.op == "Gemm" || node.op == "MatMul";
}

// The node of the model that a step's time belongs to.
std::string owner(const ir::Graph& model, const engine::LayerTime& step) {
  std::string first;
  for (const std::string& source : step.sources) {
    const ir::NodeId id = model.find_node(source);
    if (id == ir::kNone || ir::is_quantize(model.node(id)) || ir::is_dequantize(model.node(id))) continue;
    if (is_weighted(model.node(id))) return source;
    if (first.empty()) first = source;
  }
  return first.empty() ? step.node : first;
}

template <class Fn>
void repeat(int64_t iterations, Fn&& fn) {
  const auto begin = Clock::now();
  for (int64_t i = 0; i < iterations; ++i) {
    check_interrupt();
    fn();
    if (i >= 2 && std::chrono::duration<double>(Clock::now() - begin).count() > kLongest) break;
  }
}

// The median over rounds of each step's mean, so that a burst of other work on the machine does not count.
void add_layers(const ir::Graph& graph, engine::Engine& engine, const std::vector<Tensor>& inputs,
                int64_t iterations, Timing& timing) {
  constexpr int64_t kRounds = 9;
  std::map<std::string, std::vector<double>> rounds;
  for (int64_t round = 0; round < kRounds; ++round) {
    engine.set_profiling(true);
    repeat(std::max<int64_t>(1, iterations / kRounds), [&] { engine.run(inputs); });
    std::map<std::string, double> ms;
    for (const engine::LayerTime& step : engine.profile()) {
      const std::string name = owner(graph, step);
      ms[name] +=
          static_cast<double>(step.nanoseconds) / 1e6 / static_cast<double>(std::max<int64_t>(1, step.runs));
      for (const std::string& source : step.sources) timing.fused.emplace(source, name);
    }
    for (const auto& [name, time] : ms) rounds[name].push_back(time);
  }
  for (auto& [name, times] : rounds) {
    std::sort(times.begin(), times.end());
    timing.ms[name] = times[times.size() / 2];
    timing.fused.erase(name);
  }
}

engine::Engine engine_for(const ir::Graph& graph, const ir::OpTable& ops,
                          std::span<const engine::Backend* const> backends, const TimingOptions& options) {
  const engine::BuildOptions build{.batch = options.batch, .threads = options.threads};
  return {engine::build(graph, ops, backends, build), backends};
}

std::vector<Tensor> random_inputs(const engine::Engine& engine) {
  Random random(1);
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < engine.plan().input_count; ++i)
    inputs.push_back(random_input(engine.plan().graph.value(engine.plan().graph.inputs()[i]).type, random));
  return inputs;
}

double run_ms(engine::Engine& engine, const std::vector<Tensor>& inputs) {
  const auto start = Clock::now();
  engine.run(inputs);
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

Timing time_model(const ir::Graph& graph, const ir::OpTable& ops,
                  std::span<const engine::Backend* const> backends, const TimingOptions& options) {
  engine::Engine engine = engine_for(graph, ops, backends, options);
  const std::vector<Tensor> inputs = random_inputs(engine);
  repeat(std::max<int64_t>(2, options.iterations / 10), [&] { engine.run(inputs); });
  std::vector<double> ms;
  repeat(options.iterations, [&] { ms.push_back(run_ms(engine, inputs)); });
  Timing timing;
  timing.total_ms = median(std::move(ms));
  add_layers(graph, engine, inputs, options.iterations, timing);
  return timing;
}

Race race(const ir::Graph& reference, const ir::Graph& graph, const ir::OpTable& ops,
          std::span<const engine::Backend* const> backends, const TimingOptions& options) {
  engine::Engine first = engine_for(reference, ops, backends, options);
  engine::Engine second = engine_for(graph, ops, backends, options);
  const std::vector<Tensor> first_inputs = random_inputs(first), second_inputs = random_inputs(second);
  std::vector<double> first_ms, second_ms;
  const auto some = [](engine::Engine& engine, const std::vector<Tensor>& inputs, int64_t runs,
                       std::vector<double>& times) {
    for (int64_t i = 0; i < runs; ++i) {
      check_interrupt();
      times.push_back(run_ms(engine, inputs));
    }
  };
  some(first, first_inputs, 2, first_ms);
  some(second, second_inputs, 2, second_ms);
  // The first run of a turn finds the other model in the caches, so a turn has several where that is cheap.
  const double pair_ms = first_ms.back() + second_ms.back();
  const auto turn = static_cast<int64_t>(std::clamp(250 / std::max(1e-3, pair_ms), 1.0, 5.0));
  first_ms.clear();
  second_ms.clear();
  repeat((options.iterations + turn - 1) / turn, [&] {
    some(first, first_inputs, turn, first_ms);
    some(second, second_inputs, turn, second_ms);
  });
  return {.reference_ms = median(std::move(first_ms)), .ms = median(std::move(second_ms))};
}

}  // namespace kvant::choose
