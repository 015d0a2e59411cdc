// SPDX-License-Identifier: Apache-2.0
// What costs speed or accuracy in the placement of Q/DQ pairs, whoever made it (qdq-rules.md 9.4).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::quant {

struct Finding {
  std::string code;     // "L7"
  std::string node;     // the node's name, else its result's
  std::string message;  // one sentence: what is there and what it costs
  std::string fix;      // what to do about it
  friend bool operator==(const Finding&, const Finding&) = default;
};

struct Lint {
  std::string_view code;
  std::string_view summary;
  void (*find)(const ir::Graph&, std::vector<Finding>&);
  int64_t (*fix)(ir::Graph&);  // nullptr: needs a decision
};

// In the order of lints.inc.
std::span<const Lint> lints();

// All findings in a typed Q/DQ graph, by code, then in topological order. What a model's target asks for
// (kTargetKey) is no finding.
std::vector<Finding> lint(const ir::Graph& graph);

// Applies every fix that only takes away roundings or rewrites exactly, until nothing changes; types are
// inferred anew. Returns how often each code was fixed.
std::map<std::string, int64_t> fix_findings(ir::Graph& graph, const ir::OpTable& ops);

}  // namespace kvant::quant
