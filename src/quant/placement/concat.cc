// SPDX-License-Identifier: Apache-2.0
//
// a ─ Q(s) ─ DQ ─┐
//              b ┤ Concat ─ Q(s) ─ DQ ─ quantized layer
//
// One scale for all: then the Concat is a copy. A branch that only the Concat reads needs no pair of its own
// (the engine moves the Q behind the Concat onto it); one that is quantized for another reader is read
// through that pair.
#include "quant/placement/sites.h"

namespace kvant::quant {

void place_concat(Sites& sites) {
  const ir::Graph& graph = sites.graph();
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "Concat" || graph.value(node.outputs[0]).type.dtype != DType::Float32) continue;
    if (!sites.is_quantized(node.outputs[0]) &&
        !sites.reaches_site(node.outputs[0], Sites::Through::DataMovement)) {
      sites.keep_float(id, "no quantized layer reads the joined tensor");
      continue;
    }
    ir::ValueId root = sites.is_quantized(node.outputs[0]) ? node.outputs[0] : ir::kNone;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ir::ValueId codes = sites.codes_of(node.inputs[i]);
      if (codes == ir::kNone) continue;
      if (codes == node.inputs[i]) {
        sites.want_activation(id, static_cast<int>(i), "branch of a Concat with one scale");
      }
      if (root == ir::kNone) {
        root = codes;
        sites.carry(node.outputs[0], root);
      }
      sites.share_scale(codes, root);
    }
  }
}

}  // namespace kvant::quant
