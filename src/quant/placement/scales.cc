// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q(s) ─ DQ ─ MaxPool | Concat | ... ─ Q(s) ─ DQ
//
// Where an operator that only moves elements stands between two pairs, both get one scale: it then works on
// codes, and the second pair rounds nothing. Claims nothing.
#include "quant/placement/placement.h"

namespace kvant::quant {

void share_scales(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    const bool joins = node.op == "Concat";
    if (node.inputs.empty() || (!joins && !sites.is_transparent(id))) continue;
    ir::ValueId root = ir::kNone;
    const auto share = [&](ir::ValueId value) {
      if (root == ir::kNone) root = value;
      sites.share_scale(value, root);
    };
    for (size_t i = 0; i < (joins ? node.inputs.size() : 1); ++i) {
      if (sites.is_site(id, static_cast<int>(i))) share(node.inputs[i]);
    }
    if (root == ir::kNone) continue;
    for (const ir::ValueId output : node.outputs) {
      if (output != ir::kNone && sites.is_quantized(output)) share(output);
    }
  }
}

}  // namespace kvant::quant
