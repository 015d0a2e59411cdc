// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/reasons.h"

#include "ir/qdq.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::Node;

bool has_constant_operand(const Graph& graph, const Node& node) {
  return node.inputs.size() == 2 && (graph.is_constant(node.inputs[0]) || graph.is_constant(node.inputs[1]));
}

bool fuses_backward(const Graph& graph, const Node& norm) {
  const Node* before = graph.producer(norm.inputs[0]);
  return before != nullptr && is_weighted(*before);
}

}  // namespace

std::string float_reason(const Sites& sites, ir::NodeId id) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  if (const auto found = sites.float_reasons().find(id); found != sites.float_reasons().end())
    return found->second;
  if (is_activation(node) || is_swish(graph, node)) return "an activation: it fuses into the layer before it";
  if (node.op == "BatchNormalization") {
    return fuses_backward(graph, node) ? "it fuses into the layer before it"
                                       : "norms stay in float unless a case or the spec asks for them";
  }
  if (node.op == "Add" && has_constant_operand(graph, node)) return "adds a constant: a bias, not a shortcut";
  if (node.op == "Mul" && has_constant_operand(graph, node)) return "multiplies by a constant";
  if (sites.is_transparent(id) || node.op == "Concat" || node.op == "Pad")
    return "moves data: it takes the precision of its neighbours";
  if (node.op == "Add" || node.op == "Mul" || is_weighted(node) || node.op == "AveragePool" ||
      node.op == "GlobalAveragePool") {
    return "neither a case nor the spec asks for it";
  }
  return node.op + " stays in float";
}

}  // namespace kvant::quant
