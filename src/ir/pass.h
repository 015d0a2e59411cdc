// SPDX-License-Identifier: Apache-2.0
// Passes and the driver that runs them: verified and timed after each, switchable by name.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"
#include "ir/pattern.h"

namespace kvant::ir {

// How a pass may change results; the driver's check (PassOptions::check) holds it to that.
enum class Exactness {
  BitExact,   // the same bits out
  Reordered,  // float operations reordered: small differences, codes within 1
};

struct Pass {
  std::string name;     // "erase-noop-pairs"
  std::string summary;  // one line: its algebra
  Exactness exactness = Exactness::BitExact;
  std::function<size_t(Graph&, const OpTable&)> run;  // returns how many changes were made
};

// A pass that applies one rule.
Pass pass_of(Rule rule, std::string summary, Exactness exactness = Exactness::BitExact);

struct PassRecord {
  std::string name;
  size_t changes = 0;
  double seconds = 0;
  bool skipped = false;
};

struct PassOptions {
  std::set<std::string> skip;  // names; an unknown one is an Error with the nearest
  // After each pass that changed something: the graph before and after (tests evaluate both, --dump prints).
  std::function<void(const Pass&, const Graph& before, const Graph& after)> check;
};

// Runs the passes in order; after each the graph is verified (a failure there is a Bug that names the pass)
// and its types inferred anew.
std::vector<PassRecord> run_passes(Graph& graph, const OpTable& ops, std::span<const Pass> passes,
                                   const PassOptions& options = {});

}  // namespace kvant::ir
