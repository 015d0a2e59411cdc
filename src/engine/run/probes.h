// SPDX-License-Identifier: Apache-2.0
// How to see a tensor of the original model in a lowered graph: which value holds it, with which axes and
// offset (docs/lowered-ops.md, "Names and probes").
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/graph.h"

namespace kvant::engine {

struct Probe {
  std::string value;                 // name in the lowered graph
  std::vector<int64_t> permutation;  // stored.shape[i] = original.shape[permutation[i]]; empty: as they are
  int32_t offset = 0;                // stored code minus original code
  bool flat = false;                 // the original holds all axes but the first as one
  friend bool operator==(const Probe&, const Probe&) = default;
};

inline constexpr std::string_view kProbePrefix = "probe.";

std::string to_string(const Probe& probe);
// Nothing when the text is no probe.
std::optional<Probe> parse_probe(std::string_view text);
// The stored tensor as the original model has it.
Tensor restore(const Probe& probe, const Tensor& stored);

// From now on `original` is found as `probe` says.
void record_probe(ir::Graph& graph, const std::string& original, const Probe& probe);
// Every probe by the original's name.
std::map<std::string, Probe> probes_of(const ir::Graph& graph);

}  // namespace kvant::engine
