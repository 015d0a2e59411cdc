// SPDX-License-Identifier: Apache-2.0
// A plan whose steps run in several memories (the host's and a device's) as stretches of steps that run in
// one of them, with the copies between. Every memory has the whole arena, so a tensor lies at the same offset
// in each, and its copy there is safe as long as the tensor lives.
#pragma once

#include <span>
#include <vector>

#include "engine/plan/plan.h"

namespace kvant::engine {

// Memories are numbered; 0 is the host's.
inline constexpr size_t kHost = 0;

struct Move {
  ir::ValueId value;  // a storage root
  size_t from, to;    // one of them is kHost
  bool operator==(const Move&) const = default;
};

struct Stretch {
  size_t memory = kHost;
  size_t first = 0, last = 0;  // steps, both included
  std::vector<Move> moves;     // before its first step
};

struct Stretches {
  std::vector<Stretch> stretches;
  std::vector<Move> results;  // after the last step: outputs of the graph that lie on a device
};

// `memory_of`: by step. Views belong to the stretch around them. All copies of a stretch come before it: what
// they copy was made earlier.
Stretches stretches_of(const Plan& plan, std::span<const size_t> memory_of);

}  // namespace kvant::engine
