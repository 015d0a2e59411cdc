// SPDX-License-Identifier: Apache-2.0
//
// Conv ─ [BatchNorm] ─ [activation] ─ a ─┐
//                            r ─ Q ─ DQ ─┤ Add ─ ...
//
// The shortcut r decides the type that the fused convolution + Add writes: quantized, all of it is one
// integer kernel; a pair on a would split that kernel. With two such branches one stays unquantized.
//
// residual (of the case auto): the longer branch, counted from their fork, stays unquantized, so that the
// pair is on the shortcut; only behind layers that are quantized, and behind linear ones only where the sum
// is quantized too (before a LayerNorm the sum of a transformer block is float anyway). shortcut (of residual
// and the network cases): the first branch stays unquantized, and an Add of no layer's result gets a pair on
// each input, as in NVIDIA's TensorFlow toolkit.
#include <algorithm>
#include <iterator>
#include <set>

#include "base/error.h"
#include "ir/qdq.h"
#include "quant/placement/layers.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool adds_constant(const Graph& graph, const Node& node) {
  return node.op == "Add" && (graph.is_constant(node.inputs[0]) || graph.is_constant(node.inputs[1]));
}

// The value before an operator that fuses behind a convolution, or kNone when `node` is none.
ValueId before_epilogue(const Graph& graph, const Node& node) {
  if (is_swish(graph, node)) {
    const Node* first = graph.producer(node.inputs[0]);
    const bool gate_first = first != nullptr && first->inputs[0] == node.inputs[1];
    return node.inputs[gate_first ? 1 : 0];
  }
  if (adds_constant(graph, node)) return node.inputs[graph.is_constant(node.inputs[0]) ? 1 : 0];
  if (is_activation(node) || node.op == "BatchNormalization" || node.op == "Dropout" ||
      node.op == "Identity") {
    return node.inputs[0];
  }
  return kNone;
}

// The layer whose result `value` is, behind what fuses into it and read by nobody else on the way; or kNone.
NodeId layer_of_branch(const Sites& sites, ValueId value) {
  const Graph& graph = sites.graph();
  size_t readers = 1;
  while (true) {
    const NodeId producer = value == kNone ? kNone : graph.value(value).producer;
    if (producer == kNone || graph.use_count(value) != readers) return kNone;
    const Node& node = graph.node(producer);
    if (is_weighted(node)) return has_weight(sites, producer) ? producer : kNone;
    value = before_epilogue(graph, node);
    readers = is_swish(graph, node) ? 2 : 1;
  }
}

// Pairs that the model came with lengthen no branch.
std::set<NodeId> ancestors(const Graph& graph, ValueId value) {
  std::set<NodeId> seen;
  std::vector<ValueId> open{value};
  while (!open.empty()) {
    const ValueId next = open.back();
    open.pop_back();
    const NodeId producer = next == kNone ? kNone : graph.value(next).producer;
    if (producer == kNone || !seen.insert(producer).second) continue;
    const Node& node = graph.node(producer);
    open.insert(open.end(), node.inputs.begin(), node.inputs.end());
  }
  std::erase_if(
      seen, [&](NodeId id) { return ir::is_quantize(graph.node(id)) || ir::is_dequantize(graph.node(id)); });
  return seen;
}

// Which of the two inputs has more nodes that the other does not share; the first on a tie.
size_t longer_branch(const Graph& graph, const Node& add) {
  const std::set<NodeId> a = ancestors(graph, add.inputs[0]), b = ancestors(graph, add.inputs[1]);
  std::vector<NodeId> only_a, only_b;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
  std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
  return only_b.size() > only_a.size() ? 1 : 0;
}

bool differ(const Graph& graph, ValueId a, ValueId b) {
  const auto& left = graph.value(a).type.shape;
  const auto& right = graph.value(b).type.shape;
  return left && right && *left != *right;
}

// Why this Add is no residual connection; "" when it may be one.
std::string not_residual(const Graph& graph, const Node& add) {
  if (graph.is_constant(add.inputs[0]) || graph.is_constant(add.inputs[1]))
    return "adds a constant: a bias, not a shortcut";
  if (differ(graph, add.inputs[0], add.inputs[1])) return "its inputs have different shapes: not a shortcut";
  return "";
}

void want_shortcut(Sites& sites, NodeId add, size_t main, NodeId layer) {
  sites.want_activation(add, static_cast<int>(1 - main),
                        fmt::format("residual branch of {}: float input would force float output",
                                    label(sites.graph(), layer)));
}

}  // namespace

void place_residual(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Add" || sites.has_site(id)) continue;
    if (std::string why = not_residual(graph, node); !why.empty()) {
      sites.keep_float(id, std::move(why));
      continue;
    }
    NodeId layers[2];
    for (const size_t i : {size_t{0}, size_t{1}}) {
      layers[i] = layer_of_branch(sites, node.inputs[i]);
      if (layers[i] != kNone && !sites.is_site(layers[i], 0)) layers[i] = kNone;
    }
    if (layers[0] == kNone && layers[1] == kNone) {
      sites.keep_float(id, "none of its inputs is a quantized layer that could compute the addition");
      continue;
    }
    const bool both = layers[0] != kNone && layers[1] != kNone;
    const size_t main = both ? longer_branch(graph, node) : (layers[0] != kNone ? 0 : 1);
    const std::string& op = graph.node(layers[main]).op;
    const bool linear = op == "Gemm" || op == "MatMul";
    if (linear && !sites.reaches_site(node.outputs[0], Sites::Through::Activations)) {
      sites.keep_float(id, "the sum of a linear layer and its shortcut, which no quantized layer reads");
      continue;
    }
    want_shortcut(sites, id, main, layers[main]);
  }
}

void place_shortcut(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Add" || sites.has_site(id)) continue;
    if (std::string why = not_residual(graph, node); !why.empty()) {
      sites.keep_float(id, std::move(why));
      continue;
    }
    const NodeId first = layer_of_branch(sites, node.inputs[0]);
    const NodeId layer = first != kNone ? first : layer_of_branch(sites, node.inputs[1]);
    if (layer != kNone) {
      want_shortcut(sites, id, first != kNone ? 0 : 1, layer);
      continue;
    }
    for (const int input : {0, 1})
      sites.want_activation(id, input,
                            "sum of two tensors that no layer computes: integers need both quantized");
  }
}

}  // namespace kvant::quant
