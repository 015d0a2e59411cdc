// SPDX-License-Identifier: Apache-2.0
// Choosing among tactics by the clock, each timed in its place in the running network (caches as they will
// be).
#pragma once

#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/backend.h"
#include "engine/build/timing_cache.h"
#include "engine/plan/plan.h"

namespace kvant::engine {

// The tactics on offer for one step of a plan.
struct Candidates {
  size_t step;
  const Backend* backend;
  std::vector<std::string> tactics;
};

// Replaces tactic and packed constants of each such step by the fastest; layers of one kind get the same. The
// plan still has its constants in the graph. Tactics of a device that do not give the bytes of the first one
// are left out and named in plan.info. What `cache` knows is not timed, what it does not know is added
// to it.
void tune(Plan& plan, std::span<const Backend* const> backends, const std::vector<Candidates>& candidates,
          TimingCache* cache, Progress& progress);

}  // namespace kvant::engine
