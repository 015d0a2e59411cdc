// SPDX-License-Identifier: Apache-2.0
//
// x ─ Q ─ DQ ─┐               data:   per tensor
// w ─ Q ─ DQ ─┤ Conv ─ ...    weight: per output channel (Conv axis 0; ConvTranspose axis 1, grouped: per
// tensor) b ──────────┘               bias:   stays float
#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

int64_t scale_axis(const ir::Node& node) {
  if (node.op == "Conv") return 0;
  // With groups, axis 1 counts the channels within a group: one scale for each does not exist.
  return node.attributes.integer("group", 1) == 1 ? 1 : QuantParams::kPerTensor;
}

}  // namespace

void want_conv(Sites& sites, ir::NodeId id) {
  sites.want_weighted(id, scale_axis(sites.graph().node(id)), "convolution");
}

void place_conv(Sites& sites) {
  for (const ir::NodeId id : sites.graph().topological_order()) {
    const ir::Node& node = sites.graph().node(id);
    if (node.op == "Conv" || node.op == "ConvTranspose") want_conv(sites, id);
  }
}

}  // namespace kvant::quant
