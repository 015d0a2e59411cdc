// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─ AveragePool | GlobalAveragePool | ReduceMean over H, W ─ [Flatten] ─ Q ...
//
// There is no pool from integers to float: a pool is quantized only where its result meets a Q anyway.
#include "quant/placement/layers.h"

namespace kvant::quant {

void place_pool(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "AveragePool" && !is_global_average(graph, node)) continue;
    if (sites.reaches_site(node.outputs[0], Sites::Through::Activations)) {
      sites.want_activation(id, 0, "average pool between quantized tensors");
    } else {
      sites.keep_float(id, "average pool whose result no quantized layer reads");
    }
  }
}

}  // namespace kvant::quant
