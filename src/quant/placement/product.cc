// SPDX-License-Identifier: Apache-2.0
//
// u ─ Q ─ DQ ─┐
// g ─ Q ─ DQ ─┤ Mul
//
// Both factors of every product of two computed tensors (swish excepted): the gate of a squeeze-excite block.
#include "quant/placement/layers.h"

namespace kvant::quant {

void place_product(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "Mul" || !joins_two(graph, node)) continue;
    for (const int input : {0, 1}) {
      sites.want_activation(id, input, "product of two tensors: integers need both factors quantized");
    }
  }
}

}  // namespace kvant::quant
