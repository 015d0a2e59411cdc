// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─ AveragePool | GlobalAveragePool | ReduceMean over H, W ─ [Flatten] ─ Q ...
//
// There is no pool from integers to float: its input is quantized only where its result meets a Q anyway.
#include <algorithm>

#include "quant/placement/sites.h"

namespace kvant::quant {
namespace {

bool is_spatial_mean(const ir::Graph& graph, const ir::Node& node) {
  const auto& shape = graph.value(node.inputs[0]).type.shape;
  if (node.op != "ReduceMean" || !shape || shape->size() < 3) return false;
  std::vector<int64_t> axes = node.attributes.integers("axes");
  if (node.inputs.size() > 1 && node.inputs[1] != ir::kNone) {
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

}  // namespace

void place_pool(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "AveragePool" && node.op != "GlobalAveragePool" && !is_spatial_mean(graph, node)) continue;
    if (sites.reaches_site(node.outputs[0], Sites::Through::Activations)) {
      sites.want_activation(id, 0, "average pool between quantized tensors");
    } else {
      sites.keep_float(id, "average pool whose result no quantized layer reads");
    }
  }
}

}  // namespace kvant::quant
