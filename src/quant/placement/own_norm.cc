// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─ BatchNorm
//
// Every norm without a convolution before it that absorbs it: the first of a ResNet v2 block.
#include "quant/placement/layers.h"

namespace kvant::quant {

void place_own_norm(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (is_own_norm(graph, node))
      sites.want_activation(id, 0,
                            "norm without a convolution before it: all readers of its input read integers");
  }
}

}  // namespace kvant::quant
