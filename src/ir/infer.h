// SPDX-License-Identifier: Apache-2.0
// Types of all values, from the inputs' types; shape arithmetic is evaluated on the way.
#pragma once

#include <map>
#include <string>

#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::ir {

// Sets the type of every value that a node produces. Small integer tensors whose inputs are known (Shape,
// Gather, Concat
// ... of static shapes) are evaluated, so that Reshape, Slice, Resize see their values. Unknown dimensions
// stay unknown. Errors carry the node.
void infer_types(Graph& graph, const OpTable& ops);

// Gives graph inputs concrete shapes (by input name), checks them against the declared ones (unknown and
// symbolic dimensions fit anything, others must be equal), and infers all types anew.
void bind_shapes(Graph& graph, const OpTable& ops, const std::map<std::string, Shape>& shapes);

// The shape of input `index` with every unknown leading dimension set to `batch`. Fails if another dimension
// is unknown.
Shape batched_shape(const Graph& graph, size_t index, int64_t batch);

// Replaces nodes whose inputs are all constant by constants (QuantizeLinear and DequantizeLinear excepted:
// they carry meaning), and Shape of a static shape. Needs types. Returns how many nodes were folded.
size_t fold_constants(Graph& graph, const OpTable& ops);

}  // namespace kvant::ir
