// SPDX-License-Identifier: Apache-2.0
#include "quant/placement/sites.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "ir/qdq.h"

namespace kvant::quant {

using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

constexpr std::string_view kActivations[] = {
    "Relu",        "Clip",      "LeakyRelu", "PRelu",    "Elu",  "Celu", "Selu",     "Sigmoid",
    "HardSigmoid", "HardSwish", "Tanh",      "Softplus", "Gelu", "Mish", "Softsign", "ThresholdedRelu"};

// Operators whose other inputs are parameters (indices, sizes) and whose data input is input 0 alone.
constexpr std::string_view kMovesInputZero[] = {
    "Reshape",        "Flatten", "Squeeze",      "Unsqueeze",    "Identity", "Dropout",
    "Transpose",      "Slice",   "Split",        "Gather",       "GatherND", "Expand",
    "GatherElements", "Tile",    "DepthToSpace", "SpaceToDepth", "MaxPool",  "GlobalMaxPool"};

template <size_t N>
bool one_of(std::string_view op, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), op) != std::end(names);
}

bool pads_with_zero(const ir::Graph& graph, const Node& node) {
  if (node.attributes.text("mode", "constant") != "constant") return true;
  if (node.inputs.size() < 3 || node.inputs[2] == kNone) return true;
  const Tensor* value = graph.constant(node.inputs[2]);
  return value != nullptr && value->size() == 1 && value->to_floats()[0] == 0.0f;
}

}  // namespace

std::string label(const ir::Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (!node.name.empty()) return node.name;
  return node.outputs.empty() || node.outputs[0] == kNone ? node.op : graph.value(node.outputs[0]).name;
}

bool is_weighted(const Node& node) {
  return node.op == "Conv" || node.op == "ConvTranspose" || node.op == "Gemm" || node.op == "MatMul";
}

bool is_activation(const Node& node) { return one_of(node.op, kActivations); }

bool is_swish(const ir::Graph& graph, const Node& node) {
  if (node.op != "Mul" || node.inputs.size() != 2) return false;
  for (const size_t gate : {size_t{0}, size_t{1}}) {
    const Node* sigmoid = graph.producer(node.inputs[gate]);
    if (sigmoid == nullptr || (sigmoid->op != "Sigmoid" && sigmoid->op != "HardSigmoid")) continue;
    if (sigmoid->inputs[0] == node.inputs[1 - gate]) return true;
  }
  return false;
}

bool Sites::can_be_activation(ValueId value) const {
  if (value == kNone || graph_.is_constant(value)) return false;
  return graph_.value(value).type.dtype == DType::Float32;
}

bool Sites::can_be_weight(ValueId value) const {
  if (!is_weight(value)) return false;
  const Tensor* constant = graph_.constant(value);
  return constant == nullptr || (constant->dtype() == DType::Float32 && constant->size() > 0);
}

void Sites::set_rule(NodeId node, LayerRule rule) {
  const auto [entry, fresh] = rules_.try_emplace(node, std::move(rule));
  if (!fresh) return;
  ++revision_;
  if (!entry->second.input && !entry->second.weight) {
    keep_float(node, "kept in float by " + entry->second.origin);
  }
}

const LayerRule* Sites::rule_of(NodeId node) const {
  const auto found = rules_.find(node);
  return found == rules_.end() ? nullptr : &found->second;
}

void Sites::want_activation(NodeId node, int input, std::string reason) {
  const ValueId value = graph_.node(node).inputs[static_cast<size_t>(input)];
  if (is_site(node, input) || !can_be_activation(value)) return;
  Site site{.reason = std::move(reason), .present = ir::quantized_behind(graph_, value).has_value()};
  if (const LayerRule* rule = rule_of(node)) {
    const auto& only = rule->inputs;
    if (!rule->input || (!only.empty() && std::find(only.begin(), only.end(), input) == only.end())) return;
    site.bits = rule->bits;
    site.calibrator = rule->calibrator;
  }
  if (!site.present) quantized_.insert(value);
  sites_.emplace(Key{node, input}, std::move(site));
  float_reasons_.erase(node);
  ++revision_;
}

void Sites::want_weighted(NodeId id, int64_t axis, const std::string& what) {
  const Node& node = graph_.node(id);
  if (is_site(id, 1)) return;
  const LayerRule* rule = rule_of(id);
  if (rule != nullptr && !rule->input && !rule->weight) return;
  if (!is_weight(node.inputs[1])) return keep_float(id, "its second operand is computed at run time");
  if (!can_be_weight(node.inputs[1])) return keep_float(id, "its weight is not f32");
  if (!can_be_activation(node.inputs[0])) return keep_float(id, "its data is a constant or not f32");
  want_activation(id, 0, "data of a " + what);
  if (rule != nullptr && !rule->weight) return;
  sites_.emplace(Key{id, 1}, Site{.reason = "weight of a " + what,
                                  .weight = true,
                                  .axis = axis,
                                  .present = !graph_.is_constant(node.inputs[1]),
                                  .bits = rule == nullptr ? 0 : rule->bits});
  ++revision_;
}

void Sites::want_output(ValueId value, std::string reason, bool as_graph_output) {
  if (!can_be_activation(value) || ir::quantized_behind(graph_, value)) return;
  const auto [entry, fresh] = outputs_.try_emplace(value, Output{std::move(reason), as_graph_output});
  if (!fresh && (entry->second.as_graph_output || !as_graph_output)) return;
  entry->second.as_graph_output = entry->second.as_graph_output || as_graph_output;
  quantized_.insert(value);
  ++revision_;
}

void Sites::keep_float(NodeId node, std::string reason) {
  if (!has_site(node)) float_reasons_.emplace(node, std::move(reason));
}

bool Sites::has_site(NodeId node) const {
  const auto first = sites_.lower_bound({node, 0});
  return first != sites_.end() && first->first.first == node;
}

bool Sites::is_quantized(ValueId value) const {
  return quantized_.contains(value) || ir::quantized_behind(graph_, value).has_value() ||
         !ir::quantized_forms(graph_, value).empty();
}

ValueId Sites::codes_of(ValueId value) const {
  if (is_quantized(value)) return value;
  const auto found = carried_.find(value);
  return found == carried_.end() ? kNone : found->second;
}

bool Sites::is_weight(ValueId value) const {
  for (int steps = 0; steps < 16; ++steps) {
    if (value == kNone) return false;
    if (graph_.is_constant(value)) return true;
    const NodeId producer = graph_.value(value).producer;
    if (producer == kNone) return false;
    const Node& node = graph_.node(producer);
    if (!is_transparent(producer) && !ir::is_dequantize(node) && !ir::is_quantize(node)) return false;
    value = node.inputs[0];
  }
  return false;
}

bool Sites::is_transparent(NodeId id) const {
  const Node& node = graph_.node(id);
  if (node.op == "Pad") return pads_with_zero(graph_, node);
  if (node.op == "Resize" || node.op == "Upsample")
    return node.attributes.text("mode", "nearest") == "nearest";
  return one_of(node.op, kMovesInputZero);
}

bool Sites::reaches_site(ValueId value, Through through) const {
  std::set<ValueId> seen;
  return reaches(value, through, seen);
}

bool Sites::reaches(ValueId value, Through through, std::set<ValueId>& seen) const {
  if (value == kNone || !seen.insert(value).second) return false;
  for (const ir::Use& use : graph_.value(value).uses) {
    const Node& node = graph_.node(use.node);
    if (is_site(use.node, use.index) || (ir::is_quantize(node) && use.index == 0)) return true;
    const bool moves = node.op == "Concat" || (use.index == 0 && is_transparent(use.node));
    // Mul(y, Sigmoid(y)) is reached through both of its inputs.
    const bool activates = through == Through::Activations && (is_activation(node) || is_swish(graph_, node));
    if (!moves && !activates) continue;
    for (const ValueId output : node.outputs) {
      if (reaches(output, through, seen)) return true;
    }
  }
  return false;
}

ValueId Sites::group_root(ValueId value) const {
  for (auto found = group_.find(value); found != group_.end() && found->second != value;
       found = group_.find(value)) {
    value = found->second;
  }
  return value;
}

void Sites::share_scale(ValueId a, ValueId b) {
  const ValueId root_a = group_root(a), root_b = group_root(b);
  group_.emplace(a, a);
  group_.emplace(b, b);
  if (root_a == root_b) return;
  group_[std::max(root_a, root_b)] = std::min(root_a, root_b);
  ++revision_;
}

std::vector<ValueId> Sites::scale_group(ValueId value) const {
  std::vector<ValueId> members;
  const ValueId root = group_root(value);
  for (const auto& [member, parent] : group_) {
    if (group_root(member) == root) members.push_back(member);
  }
  if (members.empty()) members.push_back(value);
  return members;
}

}  // namespace kvant::quant
