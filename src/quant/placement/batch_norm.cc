// SPDX-License-Identifier: Apache-2.0
//
// Add | MaxPool ─ x ─ Q ─ DQ ─ BatchNorm ─ [Relu] ─ quantized layer
//
// Pre-activation networks: with the norm's input quantized, every reader of x (the shortcut too) reads
// integers, and the convolution and Add before it write them. A norm behind a convolution is folded into it
// instead; one behind a Concat stays float, because all branches would have to share one scale.
#include "quant/placement/sites.h"

namespace kvant::quant {

void place_batch_norm(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "BatchNormalization") continue;
    const ir::Node* producer = graph.producer(node.inputs[0]);
    if (producer == nullptr || (producer->op != "Add" && producer->op != "MaxPool")) continue;
    if (graph.is_constant(producer->inputs[0]) ||
        (producer->inputs.size() > 1 && graph.is_constant(producer->inputs[1]))) {
      continue;  // a bias
    }
    if (!sites.reaches_site(node.outputs[0], Sites::Through::Activations)) continue;
    sites.want_activation(id, 0, "norm before its convolution: all readers of the sum read integers");
  }
}

}  // namespace kvant::quant
