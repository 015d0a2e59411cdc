// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─ AveragePool | GlobalAveragePool | ReduceMean over H, W
//
// Every average pool, as NVIDIA's TensorFlow toolkit has it by default, whatever reads its result.
#include "quant/placement/layers.h"

namespace kvant::quant {

void place_average_pool(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op == "AveragePool" || is_global_average(graph, node))
      sites.want_activation(id, 0, "average pool: quantized by default");
  }
}

}  // namespace kvant::quant
