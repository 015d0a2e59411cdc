// SPDX-License-Identifier: Apache-2.0
//
// Conv ─ [BatchNorm] ─ [activation] ─ a ─┐
//                            r ─ Q ─ DQ ─┤ Add ─ ...
//
// The shortcut r decides the type that the fused convolution + Add writes: quantized, all of it is one
// integer kernel; a pair on a would split that kernel. With two convolution branches the longer one (from
// their fork) stays unquantized.
#include <algorithm>
#include <iterator>
#include <optional>
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

// Whether `value` is the result of a quantized convolution that nobody else reads, behind what fuses into it.
bool is_conv_branch(const Sites& sites, ValueId value) {
  const Graph& graph = sites.graph();
  size_t readers = 1;
  while (true) {
    const NodeId producer = value == kNone ? kNone : graph.value(value).producer;
    if (producer == kNone || graph.use_count(value) != readers) return false;
    const Node& node = graph.node(producer);
    if (node.op == "Conv" || node.op == "ConvTranspose") return sites.is_site(producer, 0);
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

// The input that stays unquantized, or nothing when this Add is no residual connection; `why` then says so.
std::optional<size_t> main_branch(const Sites& sites, const Node& add, std::string& why) {
  const Graph& graph = sites.graph();
  if (graph.is_constant(add.inputs[0]) || graph.is_constant(add.inputs[1])) {
    why = "adds a constant: a bias, not a shortcut";
    return std::nullopt;
  }
  if (differ(graph, add.inputs[0], add.inputs[1])) {
    why = "its inputs have different shapes: not a shortcut";
    return std::nullopt;
  }
  const bool first = is_conv_branch(sites, add.inputs[0]);
  const bool second = is_conv_branch(sites, add.inputs[1]);
  if (!first && !second) {
    why = "none of its inputs is a convolution that could compute the addition";
    return std::nullopt;
  }
  if (first && second) return longer_branch(graph, add);
  return first ? 0 : 1;
}

}  // namespace

void place_residual(Sites& sites) {
  const Graph& graph = sites.graph();
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "Add" || sites.has_site(id)) continue;
    std::string why;
    const std::optional<size_t> main = main_branch(sites, node, why);
    if (!main) {
      sites.keep_float(id, why);
      continue;
    }
    sites.want_activation(id, static_cast<int>(1 - *main),
                          "shortcut: its type is the type that the fused convolution and Add write");
  }
}

}  // namespace kvant::quant
