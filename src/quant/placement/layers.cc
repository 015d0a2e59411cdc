// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/layers.h"

#include <algorithm>

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;

bool has_weight(const Sites& sites, NodeId id) {
  const Node& node = sites.graph().node(id);
  return is_weighted(node) && node.inputs.size() > 1 && sites.is_weight(node.inputs[1]);
}

bool is_depthwise(const Graph& graph, const Node& node) {
  if (node.op != "Conv" || node.attributes.integer("group", 1) < 2) return false;
  const auto& shape = graph.value(node.inputs[1]).type.shape;
  return shape && shape->size() > 1 && (*shape)[1] == 1;
}

bool is_global_average(const Graph& graph, const Node& node) {
  if (node.op == "GlobalAveragePool") return true;
  if (node.op != "ReduceMean") return false;
  const auto& shape = graph.value(node.inputs[0]).type.shape;
  if (!shape || shape->size() < 3) return false;
  std::vector<int64_t> axes = node.attributes.integers("axes");
  if (node.inputs.size() > 1 && node.inputs[1] != kNone) {
    const Tensor* constant = graph.constant(node.inputs[1]);
    if (constant == nullptr) return false;
    axes = constant->to_ints();
  }
  const auto rank = static_cast<int64_t>(shape->size());
  for (int64_t& axis : axes) axis += axis < 0 ? rank : 0;
  std::sort(axes.begin(), axes.end());
  if (axes.size() != shape->size() - 2) return false;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] != static_cast<int64_t>(i) + 2) return false;
  }
  return true;
}

bool joins_two(const Graph& graph, const Node& node) {
  if ((node.op != "Add" && node.op != "Mul") || node.inputs.size() != 2) return false;
  return !graph.is_constant(node.inputs[0]) && !graph.is_constant(node.inputs[1]) && !is_swish(graph, node);
}

bool is_own_norm(const Graph& graph, const Node& node) {
  if (node.op != "BatchNormalization") return false;
  const Node* before = graph.producer(node.inputs[0]);
  return before == nullptr || !is_weighted(*before) || before->op == "MatMul";
}

bool is_of_class(const Sites& sites, NodeId id, std::string_view layer_class) {
  const Graph& graph = sites.graph();
  const Node& node = graph.node(id);
  if (layer_class == "DepthwiseConv") return is_depthwise(graph, node);
  if (layer_class == "Linear") return (node.op == "Gemm" || node.op == "MatMul") && has_weight(sites, id);
  if (layer_class == "Swish") return is_swish(graph, node) || node.op == "HardSwish";
  if (layer_class == "GlobalAveragePool") return is_global_average(graph, node);
  if (layer_class == "Add" || layer_class == "Mul") return node.op == layer_class && joins_two(graph, node);
  return node.op == layer_class;
}

}  // namespace kvant::quant
