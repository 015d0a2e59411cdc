// SPDX-License-Identifier: Apache-2.0
// The text form of a graph: what tests are written in, what --dump prints and what a plan holds.
//
//   graph "name" {
//     meta "key" = "value"
//     input %x: f32[N,3,32,32]
//     const %w: f32[16,3,3,3] = rand(1)          | {1, 2.5, 3} | fill(0.5) | @4096 (offset in a blob)
//     %y: f32[1,16,32,32] = Conv "conv1" (%x, %w, _) {pads = [1,1,1,1], auto_pad = "NOTSET"}
//     output %y
//   }
//
// Names outside [A-Za-z0-9_./-] are written %"like this". Types after values are optional on nodes. `_` is
// an absent input. rand(seed) is uniform in [-1,1) for floats and over [-100,100] for integers.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ir/graph.h"

namespace kvant::ir {

struct PrintOptions {
  // Constants of more elements are printed as `{...}` (not parsable) unless `store` is set.
  int64_t max_elements = 16;
  bool types = true;
  // Called for large constants; returns the offset to print as @offset (plans).
  std::function<size_t(const Tensor&)> store;
};

std::string print(const Graph& graph, const PrintOptions& options = {});
std::string print(const Graph& graph, NodeId node);

// Reads the text form. Errors give line and column. `load` resolves @offset constants (plans); without it
// they are an Error. The text is untrusted: sizes are checked before allocation.
using ConstantLoader = std::function<Tensor(DType, const Shape&, size_t offset)>;
Graph parse(std::string_view text, const ConstantLoader& load = {});

}  // namespace kvant::ir
