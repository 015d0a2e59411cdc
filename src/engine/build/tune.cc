// SPDX-License-Identifier: Apache-2.0
#include "engine/build/tune.h"

#include <algorithm>
#include <limits>

#include "base/interrupt.h"
#include "base/random.h"
#include "engine/build/memory_plan.h"
#include "engine/run/executor.h"

namespace kvant::engine {
namespace {

constexpr int kRuns = 5;

// Inputs of the right types; values do not matter to the clock.
std::vector<Tensor> random_inputs(const Plan& plan) {
  Random random(1);
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < plan.input_count; ++i) {
    const ir::Type& type = plan.graph.value(plan.graph.inputs()[i]).type;
    Tensor tensor(type.dtype, *type.shape);
    if (type.dtype == DType::Float32) {
      for (float& x : tensor.mutable_data<float>()) x = random.uniform(-1, 1);
    }
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

// For each step the shortest time among several runs of the whole plan.
std::vector<int64_t> time_steps(const Plan& plan, std::span<const Backend* const> backends,
                                std::span<const Tensor> inputs) {
  Engine engine(plan, backends);
  engine.run(inputs);
  std::vector<int64_t> best(plan.steps.size(), std::numeric_limits<int64_t>::max());
  for (int run = 0; run < kRuns; ++run) {
    check_interrupt();
    engine.set_profiling(true);
    engine.run(inputs);
    const std::vector<LayerTime> times = engine.profile();
    for (size_t i = 0; i < best.size(); ++i) best[i] = std::min(best[i], times[i].nanoseconds);
  }
  return best;
}

}  // namespace

void tune(Plan& plan, std::span<const Backend* const> backends, const std::vector<Candidates>& candidates,
          Progress& progress) {
  if (candidates.empty()) return;
  plan_memory(plan);
  const std::vector<Tensor> inputs = random_inputs(plan);
  size_t rounds = 0;
  for (const Candidates& c : candidates) rounds = std::max(rounds, c.tactics.size());
  progress.begin("timing tactics", static_cast<int64_t>(rounds), "rounds");
  std::vector<int64_t> best = time_steps(plan, backends, inputs);
  Plan winner = plan;
  // One round tries the next tactic of every step at once: each is still timed in its own place.
  for (size_t round = 1; round < rounds; ++round) {
    Plan trial = plan;
    for (const Candidates& c : candidates) {
      if (round >= c.tactics.size()) continue;
      PlanStep& step = trial.steps[c.step];
      step.tactic = c.tactics[round];
      step.packed = c.backend->pack(view_of(plan.graph, step.node, plan.threads), step.tactic);
    }
    const std::vector<int64_t> times = time_steps(trial, backends, inputs);
    for (const Candidates& c : candidates) {
      if (round >= c.tactics.size() || times[c.step] >= best[c.step]) continue;
      best[c.step] = times[c.step];
      winner.steps[c.step] = trial.steps[c.step];
    }
    progress.update(static_cast<int64_t>(round), "");
  }
  progress.end();
  plan = std::move(winner);
}

}  // namespace kvant::engine
