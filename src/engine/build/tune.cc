// SPDX-License-Identifier: Apache-2.0
#include "engine/build/tune.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/interrupt.h"
#include "base/random.h"
#include "engine/build/memory_plan.h"
#include "engine/build/prove.h"
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

// Layers of one kind and what each tactic took for all of them.
struct Kind {
  std::vector<const Candidates*> members;
  std::map<std::string, int64_t> nanoseconds;
};

void choose(Plan& plan, const Candidates& c, const std::string& tactic) {
  PlanStep& step = plan.steps[c.step];
  if (step.tactic == tactic) return;
  step.tactic = tactic;
  step.packed = c.backend->pack(view_of(plan.graph, step.node, plan.threads), tactic);
}

// What the cache knows is chosen at once; the rest, by kind.
std::map<std::string, Kind> unknown_kinds(Plan& plan, const std::vector<Candidates>& candidates,
                                          const TimingCache* cache) {
  std::map<std::string, Kind> kinds;
  for (const Candidates& c : candidates) {
    const std::string key =
        timing_key(view_of(plan.graph, plan.steps[c.step].node, plan.threads), c.backend->processor());
    const TimingCache::Entry* known = cache != nullptr ? cache->find(key) : nullptr;
    if (known != nullptr && std::ranges::find(c.tactics, known->tactic) != c.tactics.end()) {
      choose(plan, c, known->tactic);
    } else {
      kinds[key].members.push_back(&c);
    }
  }
  return kinds;
}

// Layers of one kind share their tactics: the first one's are compared with each other.
void keep_equal(Plan& plan, std::map<std::string, Kind>& kinds, std::map<size_t, Candidates>& kept) {
  for (auto& [key, kind] : kinds) {
    const Candidates& first = *kind.members[0];
    if (first.backend->open() == nullptr) continue;
    const Proof proof =
        prove(*first.backend, view_of(plan.graph, plan.steps[first.step].node, plan.threads), first.tactics);
    if (proof.different.empty()) continue;
    std::string& refused = plan.info["refused tactics"];
    for (const std::string& tactic : proof.different)
      refused +=
          (refused.empty() ? "" : ", ") + plan.graph.node(plan.steps[first.step].node).op + ":" + tactic;
    for (const Candidates*& member : kind.members) {
      kept[member->step] = {member->step, member->backend, proof.equal};
      member = &kept[member->step];
    }
  }
}

void add_times(const Plan& plan, const std::vector<int64_t>& times, std::map<std::string, Kind>& kinds) {
  for (auto& [key, kind] : kinds) {
    std::map<std::string, int64_t> sums;
    for (const Candidates* c : kind.members) sums[plan.steps[c->step].tactic] += times[c->step];
    for (const auto& [tactic, sum] : sums) kind.nanoseconds.try_emplace(tactic, sum);
  }
}

}  // namespace

void tune(Plan& plan, std::span<const Backend* const> backends, const std::vector<Candidates>& candidates,
          TimingCache* cache, Progress& progress) {
  std::map<std::string, Kind> kinds = unknown_kinds(plan, candidates, cache);
  if (kinds.empty()) return;
  std::map<size_t, Candidates> kept;
  keep_equal(plan, kinds, kept);
  plan_memory(plan);
  const std::vector<Tensor> inputs = random_inputs(plan);
  size_t rounds = 0;
  for (const auto& [key, kind] : kinds) rounds = std::max(rounds, kind.members[0]->tactics.size());
  progress.begin("timing tactics", static_cast<int64_t>(rounds), "rounds");
  // One round tries the next tactic of every step at once: each is still timed in its own place.
  for (size_t round = 0; round < rounds; ++round) {
    for (const auto& [key, kind] : kinds) {
      for (const Candidates* c : kind.members)
        choose(plan, *c, c->tactics[std::min(round, c->tactics.size() - 1)]);
    }
    add_times(plan, time_steps(plan, backends, inputs), kinds);
    progress.update(static_cast<int64_t>(round + 1), "");
  }
  for (const auto& [key, kind] : kinds) {
    const auto best =
        std::ranges::min_element(kind.nanoseconds, {}, [](const auto& entry) { return entry.second; });
    for (const Candidates* c : kind.members) choose(plan, *c, best->first);
    if (cache != nullptr) {
      cache->set(key, {best->first, best->second / static_cast<int64_t>(kind.members.size())});
    }
  }
  progress.end();
}

}  // namespace kvant::engine
