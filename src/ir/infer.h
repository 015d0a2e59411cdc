// SPDX-License-Identifier: Apache-2.0
// Types of all values, from the inputs' types; shape arithmetic is evaluated on the way.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::ir {

// Sets the type of every value that a node produces. Small integer tensors whose inputs are known (Shape,
// Gather, Concat
// ... of static shapes) are evaluated, so that Reshape, Slice, Resize see their values. Unknown dimensions
// stay unknown. Errors carry the node.
void infer_types(Graph& graph, const OpTable& ops);

// The same, node by node, while a graph is being built (importers need the types of what is already there).
// Keeps references to graph and ops.
class Inference {
 public:
  Inference(Graph& graph, const OpTable& ops) : graph_(graph), ops_(ops) {}
  // Types the outputs of `id`; its producers come first. Errors do not carry the node.
  void infer(NodeId id);

 private:
  const Tensor* known(ValueId id) const;
  void evaluate_if_small(const Node& node, const OpDef& op, const std::vector<Type>& types,
                         const std::vector<const Tensor*>& constants);

  Graph& graph_;
  const OpTable& ops_;
  std::map<ValueId, Tensor> known_;  // small values of shape arithmetic
};

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
