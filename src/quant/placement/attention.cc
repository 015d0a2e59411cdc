// SPDX-License-Identifier: Apache-2.0
//
// q ─ Q ─ DQ ─┐
// k ─ Q ─ DQ ─┤ MatMul ─ [scale] ─ Softmax ─ p ─ Q ─ DQ ─┐
//                                            v ─ Q ─ DQ ─┤ MatMul
//
// The two products of an attention block, both inputs each; the softmax between them stays float. Masked
// attention (a tensor added before the softmax) is left alone: its scores span the range of the mask.
#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool is_product_of_tensors(const Sites& sites, const Node& node) {
  return node.op == "MatMul" && !sites.is_weight(node.inputs[0]) && !sites.is_weight(node.inputs[1]);
}

// The product whose scores this softmax takes, or kNone; `masked` where a computed tensor is added on the
// way.
NodeId scores_of(const Sites& sites, const Node& softmax, bool& masked) {
  const Graph& graph = sites.graph();
  ValueId value = softmax.inputs[0];
  for (int steps = 0; steps < 8; ++steps) {
    const NodeId producer = value == kNone ? kNone : graph.value(value).producer;
    if (producer == kNone) return kNone;
    const Node& node = graph.node(producer);
    if (is_product_of_tensors(sites, node)) return producer;
    const bool scales = node.op == "Mul" || node.op == "Div";
    if (node.op != "Add" && !scales && !sites.is_transparent(producer) && node.op != "Where") return kNone;
    size_t through = 0;
    if (node.op == "Add" && !graph.is_constant(node.inputs[0]) && !graph.is_constant(node.inputs[1]))
      masked = true;
    if (node.op == "Where") masked = true;
    if (node.op == "Where" || ((node.op == "Add" || scales) && graph.is_constant(node.inputs[0])))
      through = 1;
    value = node.inputs[through];
  }
  return kNone;
}

// The product that reads these probabilities first, or kNone.
NodeId weighted_sum(const Sites& sites, ValueId probabilities) {
  const Graph& graph = sites.graph();
  for (int steps = 0; steps < 4; ++steps) {
    if (graph.value(probabilities).uses.size() != 1) return kNone;
    const NodeId reader = graph.value(probabilities).uses[0].node;
    if (is_product_of_tensors(sites, graph.node(reader))) return reader;
    if (!sites.is_transparent(reader)) return kNone;
    probabilities = graph.node(reader).outputs[0];
  }
  return kNone;
}

}  // namespace

void place_attention(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Softmax") continue;
    bool masked = false;
    const NodeId scores = scores_of(sites, node, masked);
    const NodeId sum = weighted_sum(sites, node.outputs[0]);
    if (scores == kNone || sum == kNone) continue;
    for (const NodeId product : {scores, sum}) {
      if (masked) {
        sites.keep_float(product, "product of a masked attention");
        continue;
      }
      for (const int input : {0, 1}) sites.want_activation(product, input, "product of an attention");
    }
  }
}

}  // namespace kvant::quant
