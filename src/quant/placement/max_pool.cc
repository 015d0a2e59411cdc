// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─ MaxPool
//
// With the pool's input quantized, every reader of x reads integers: the shortcut of a ResNet v2 block next
// to its norm, the pool of an Inception block next to its convolutions.
#include "quant/placement/layers.h"

namespace kvant::quant {

void place_max_pool(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op == "MaxPool")
      sites.want_activation(id, 0, "max pool: all readers of its input read integers");
  }
}

}  // namespace kvant::quant
