// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q(s) ─ DQ ─ MaxPool | Slice | Pad ... ─ Q(s) ─ DQ ─ quantized layer
//
// An operator that only picks or moves elements commutes with Q and DQ. Where its input is quantized for
// other readers and its result is quantized too, it reads the pair, and both pairs have one scale: the second
// rounds nothing.
#include "quant/placement/sites.h"

namespace kvant::quant {

void place_transparent(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (!sites.is_transparent(id) || node.inputs.empty()) continue;
    const ir::ValueId codes = sites.codes_of(node.inputs[0]);
    if (codes == ir::kNone) continue;
    for (const ir::ValueId output : node.outputs) {
      if (output == ir::kNone) continue;
      const bool quantized = sites.is_quantized(output);
      if (!quantized && !sites.reaches_site(output, Sites::Through::DataMovement)) continue;
      if (codes == node.inputs[0]) {
        sites.want_activation(id, 0, "only moves elements of a quantized tensor to a quantized reader");
      }
      if (quantized) {
        sites.share_scale(codes, output);
      } else {
        sites.carry(output, codes);
      }
    }
  }
}

}  // namespace kvant::quant
