// SPDX-License-Identifier: Apache-2.0
//
// layer ─ u ─ Q ─ DQ ─┬─ Sigmoid ─┐
//                     └───────────┤ Mul ─ Q ─ DQ ─ quantized layers
//
// The input of a SiLU, HardSwish, GELU or Mish between a quantized layer and quantized readers alone. From
// codes to codes an activation is a table of 256 entries, which costs a kernel a tenth of the polynomial that
// it needs otherwise; the price is one more rounding. Only where it is asked for (PlaceOptions).
#include <algorithm>
#include <optional>

#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

struct Curve {
  Activation activation;
  ValueId input;
  std::vector<Sites::Key> readers;  // of the input: all that belong to the activation
};

// x * Sigmoid(x), x * HardSigmoid(x) with the slope of HardSwish.
std::optional<Curve> swish(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!is_swish(graph, node)) return std::nullopt;
  for (const int gate : {0, 1}) {
    const NodeId sigmoid = graph.value(node.inputs[static_cast<size_t>(gate)]).producer;
    const ValueId x = node.inputs[static_cast<size_t>(1 - gate)];
    if (sigmoid == kNone || graph.node(sigmoid).inputs.empty() || graph.node(sigmoid).inputs[0] != x)
      continue;
    const bool hard = graph.node(sigmoid).op == "HardSigmoid";
    if (graph.use_count(graph.node(sigmoid).outputs[0]) != 1) return std::nullopt;
    return Curve{hard ? Activation::HardSwish : Activation::Silu, x, {{sigmoid, 0}, {id, 1 - gate}}};
  }
  return std::nullopt;
}

std::optional<Curve> curve_at(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op == "Mul") return swish(graph, id);
  if (node.op != "HardSwish" && node.op != "Gelu" && node.op != "Mish") return std::nullopt;
  const bool by_tanh = node.op == "Gelu" && node.attributes.text("approximate", "none") == "tanh";
  return Curve{by_tanh ? Activation::GeluTanh : *activation_named(node.op), node.inputs[0], {{id, 0}}};
}

// The quantized layer that makes `value`, behind the addition of a constant; or kNone.
NodeId layer_before(const Sites& sites, ValueId value) {
  const Graph& graph = sites.graph();
  NodeId producer = graph.value(value).producer;
  if (producer != kNone && graph.node(producer).op == "Add") {
    const Node& add = graph.node(producer);
    const size_t bias = graph.is_constant(add.inputs[0]) ? 0 : 1;
    if (!graph.is_constant(add.inputs[bias]) || graph.use_count(add.inputs[1 - bias]) != 1) return kNone;
    producer = graph.value(add.inputs[1 - bias]).producer;
  }
  const bool layer = producer != kNone && is_weighted(graph.node(producer));
  return layer && sites.is_site(producer, 0) && sites.is_site(producer, 1) ? producer : kNone;
}

// Directly, or behind nodes that move and join data: the engine takes a quantizer back through these.
bool all_readers_quantized(const Sites& sites, ValueId value) {
  const Graph& graph = sites.graph();
  const auto& uses = graph.value(value).uses;
  return !uses.empty() && graph.use_count(value) == uses.size() &&
         std::all_of(uses.begin(), uses.end(), [&](const ir::Use& use) {
           if (sites.is_site(use.node, use.index)) return true;
           const Node& reader = graph.node(use.node);
           const bool moves = reader.op == "Concat" || (use.index == 0 && sites.is_transparent(use.node));
           return moves && std::all_of(reader.outputs.begin(), reader.outputs.end(),
                                       [&](ValueId output) { return all_readers_quantized(sites, output); });
         });
}

// The gates of squeeze-excite blocks and other vectors: there is nothing to gain.
bool is_vector(const Graph& graph, ValueId value) {
  const auto& shape = graph.value(value).type.shape;
  return shape && shape->size() == 4 && (*shape)[2] == 1 && (*shape)[3] == 1;
}

}  // namespace

void place_activation_table(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const auto curve = curve_at(graph, id);
    if (!curve || !sites.can_be_activation(curve->input) || is_vector(graph, curve->input)) continue;
    if (graph.use_count(curve->input) != curve->readers.size()) continue;
    const ValueId result = graph.node(id).outputs[0];
    if (layer_before(sites, curve->input) == kNone || !all_readers_quantized(sites, result)) continue;
    for (const auto& [node, input] : curve->readers) {
      sites.want_activation(
          node, input,
          fmt::format("{} between codes is a table: one rounding more, a tenth of its time, at",
                      name(curve->activation)));
    }
    if (sites.is_quantized(curve->input)) sites.set_curve(curve->input, {curve->activation, result});
  }
}

}  // namespace kvant::quant
