// SPDX-License-Identifier: Apache-2.0
// Choosing among tactics by the clock, each timed in its place in the running network (caches as they will
// be).
#pragma once

#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/backend.h"
#include "engine/plan/plan.h"

namespace kvant::engine {

// The tactics on offer for one step of a plan.
struct Candidates {
  size_t step;
  const Backend* backend;
  std::vector<std::string> tactics;
};

// Replaces tactic and packed constants of each such step by the fastest. The plan still has its constants in
// the graph.
void tune(Plan& plan, std::span<const Backend* const> backends, const std::vector<Candidates>& candidates,
          Progress& progress);

}  // namespace kvant::engine
