// SPDX-License-Identifier: Apache-2.0
//
// u ─┬─────────────────────── Q ─ DQ ─┐
//    └─ global pool ─ ... ─ g ─ Q ─ DQ ─┤ Mul ─ [activation] ─ quantized layer
//
// Only where the result feeds a quantized layer. The pool shares u's pair; the gate stays float from the
// sigmoid on.
#include <set>

#include "ir/qdq.h"
#include "quant/placement/sites.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

constexpr size_t kMaxGateNodes = 32;

// Whether `gate` is computed from a global pool of `features`, and from nothing else of them.
bool is_gate_of(const Sites& sites, ValueId gate, ValueId features) {
  const Graph& graph = sites.graph();
  std::set<NodeId> seen;
  std::vector<ValueId> open{gate};
  bool pooled = false;
  while (!open.empty()) {
    const ValueId value = open.back();
    open.pop_back();
    if (value == kNone) continue;
    if (value == features) return false;
    const NodeId producer = graph.value(value).producer;
    if (producer == kNone || !seen.insert(producer).second) continue;
    if (seen.size() > kMaxGateNodes) return false;
    const Node& node = graph.node(producer);
    if ((node.op == "GlobalAveragePool" || node.op == "ReduceMean") &&
        ir::quantized_source(graph, node.inputs[0]) == ir::quantized_source(graph, features)) {
      pooled = true;
      continue;
    }
    // Further inputs of data movement are shapes and indices, which exporters compute from the features too.
    const auto end = sites.is_transparent(producer) ? node.inputs.begin() + 1 : node.inputs.end();
    open.insert(open.end(), node.inputs.begin(), end);
  }
  return pooled;
}

}  // namespace

void place_squeeze_excite(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Mul" || is_swish(graph, node)) continue;
    const ValueId a = node.inputs[0], b = node.inputs[1];
    if (graph.is_constant(a) || graph.is_constant(b)) continue;
    if (!is_gate_of(sites, a, b) && !is_gate_of(sites, b, a)) continue;
    if (!sites.reaches_site(node.outputs[0], Sites::Through::Activations)) {
      sites.keep_float(id, "squeeze-excite whose result no quantized layer reads");
      continue;
    }
    for (const int input : {0, 1}) {
      sites.want_activation(id, input, "squeeze-excite: an integer product needs both factors quantized");
    }
  }
}

}  // namespace kvant::quant
