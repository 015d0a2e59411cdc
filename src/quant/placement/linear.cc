// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─┐                       data:   per tensor
// w ─ Q ─ DQ ─┤ Gemm | MatMul ─ ...   weight: per output (Gemm with transB axis 0, else axis 1; more than
// 2-D: per tensor) b ──────────┘                       bias:   stays float
#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

int64_t scale_axis(const ir::Graph& graph, const ir::Node& node) {
  if (node.op == "Gemm") return node.attributes.integer("transB", 0) != 0 ? 0 : 1;
  const Tensor* weight = graph.constant(node.inputs[1]);
  return weight != nullptr && weight->rank() == 2 ? 1 : QuantParams::kPerTensor;
}

}  // namespace

void want_linear(Sites& sites, ir::NodeId id) {
  sites.want_weighted(id, scale_axis(sites.graph(), sites.graph().node(id)), "linear layer");
}

void place_linear(Sites& sites) {
  for (const ir::NodeId id : sites.graph().topological_order()) {
    const ir::Node& node = sites.graph().node(id);
    if (node.op == "Gemm" || node.op == "MatMul") want_linear(sites, id);
  }
}

}  // namespace kvant::quant
