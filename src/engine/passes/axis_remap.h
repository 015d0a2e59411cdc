// SPDX-License-Identifier: Apache-2.0
// How operators run on permuted tensors: op(Transpose(a)) == Transpose(op'(a)).
#pragma once

#include "engine/passes/edit.h"

namespace kvant::engine {

std::vector<int64_t> inverse(const std::vector<int64_t>& permutation);

// A node over un-transposed inputs that does what `node` does over inputs transposed by `permutation`.
struct Remapped {
  std::vector<ir::ValueId> inputs;
  ir::Attributes attributes;
};

// `sources[i]` is the tensor before the Transpose that makes input i, or kNone where there is none. Nothing
// when the operator cannot be permuted or one of its inputs cannot follow. May add constants and Transposes
// of small operands.
std::optional<Remapped> remap(Edit& edit, ir::NodeId node, const std::vector<ir::ValueId>& sources,
                              const std::vector<int64_t>& permutation);

}  // namespace kvant::engine
