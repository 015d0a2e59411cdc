// SPDX-License-Identifier: Apache-2.0
// What may leave INT8 together, and in which order: most loss saved for the least time.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "choose/sensitivity.h"

namespace kvant::choose {

// A layer with those that its INT8 kernel computes as well: to make one of them float would cost the fusion.
struct Unit {
  std::vector<std::string> layers;
  double loss = 0;      // relative error of the model in which only these are quantized: the sum over them
  double extra_ms = 0;  // float time minus INT8 time; below 0 where float is faster
  friend bool operator==(const Unit&, const Unit&) = default;
};

struct Units {
  std::vector<Unit> units;
  size_t left = 0;  // layers that were not measured: they stay INT8
};

// The measured layers as units, best trade first: those that cost no time by their loss, then the others by
// loss over time. Small errors of independent layers add up, so a run of first units is the Pareto-optimal
// set of its size in time (the greedy solution of the knapsack problem).
Units units_of(const Sensitivity& measured);

// All layers of the first `count` units.
std::set<std::string> layers_of(const std::vector<Unit>& units, size_t count);

}  // namespace kvant::choose
