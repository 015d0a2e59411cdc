// SPDX-License-Identifier: Apache-2.0
// From a graph to a plan: shapes bound, passes run, a tactic chosen and constants packed for each node,
// memory laid out.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/progress.h"
#include "engine/backend.h"
#include "engine/passes/pipeline.h"
#include "engine/plan/plan.h"
#include "ir/pass.h"

namespace kvant::engine {

struct BuildOptions {
  int64_t batch = 1;  // for unknown leading dimensions of inputs without an entry in `shapes`
  std::map<std::string, Shape> shapes = {};  // by input name
  int threads = 0;                           // 0: the cores available
  Mode mode = Mode::Integer;
  std::set<std::string> skip = {};  // passes left out, by name
  // Tensors that must stay observable, which keeps fusion from absorbing them. Results of DequantizeLinear,
  // moved or not, that nothing reads in float any more are not kept: their codes are.
  std::vector<std::string> watch = {};
  bool tune = false;                        // time the offered tactics inside the running network
  std::filesystem::path timing_cache = {};  // of `tune`: read if there, written; empty: none
  Progress* progress = nullptr;             // nullptr: silent
  // Called after each pass that changed something (--dump, tests).
  std::function<void(const ir::Pass&, const ir::Graph& before, const ir::Graph& after)> check = {};
};

// Backends in order of preference; a node goes to the first that takes it, with the refusals of those before
// as its `fallback`. Fails on shapes that cannot be bound or that depend on the data, and when no backend
// takes a node.
Plan build(ir::Graph graph, const ir::OpTable& ops, std::span<const Backend* const> backends,
           const BuildOptions& options = {});

// The lowered graph that build() would compile, for explain and tests.
ir::Graph lower(ir::Graph graph, const ir::OpTable& ops, const BuildOptions& options = {},
                std::vector<ir::PassRecord>* records = nullptr);

}  // namespace kvant::engine
