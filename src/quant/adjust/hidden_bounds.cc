// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/hidden_bounds.h"

#include <algorithm>

#include "ir/qdq.h"

namespace kvant::quant {
namespace {

bool hides(const ir::Quantized& pair, const Tensor& bounds) {
  if (!pair.params.per_tensor() || pair.quantize == ir::kNone) return false;
  for (const float bound : bounds.to_floats()) {
    const int32_t code =
        quantize_value(bound, pair.params.scale[0], pair.params.zero_point_at(0), pair.range);
    if (code != pair.range.high) return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> drop_hidden_bounds(ir::Graph& graph) {
  std::vector<std::string> dropped;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.erased || node.op != "Min" || node.inputs.size() != 2) continue;
    const size_t at = graph.is_constant(node.inputs[1]) ? 1 : 0;
    const Tensor* bounds = graph.constant(node.inputs[at]);
    const ir::ValueId in = node.inputs[1 - at], out = node.outputs[0];
    if (bounds == nullptr || !is_float(bounds->dtype()) || graph.is_constant(in)) continue;
    if (graph.value(in).type != graph.value(out).type) continue;  // it broadcasts
    const std::vector<ir::Quantized> pairs = ir::quantized_forms(graph, out);
    const bool only_pairs = !graph.is_output(out) && graph.use_count(out) == pairs.size();
    if (pairs.empty() || !only_pairs) continue;
    if (!std::all_of(pairs.begin(), pairs.end(), [&](const auto& pair) { return hides(pair, *bounds); }))
      continue;
    dropped.push_back(node.name);
    graph.replace_uses(out, in);
  }
  graph.erase_dead();
  return dropped;
}

}  // namespace kvant::quant
