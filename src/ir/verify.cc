// SPDX-License-Identifier: Apache-2.0
#include "ir/verify.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/nearest.h"
#include "tensor/quantize.h"

namespace kvant::ir {
namespace {

std::string where(const Node& node) { return fmt::format("{} '{}'", node.op, node.name); }

AttributeKind kind_of(const Attribute& attribute) { return static_cast<AttributeKind>(attribute.index()); }

void verify_attributes(const Node& node, const OpDef& op) {
  for (const auto& [name, value] : node.attributes) {
    const auto it = std::ranges::find(op.attributes, std::string_view(name), &AttributeDef::name);
    if (it == op.attributes.end()) {
      std::vector<std::string> known;
      for (const AttributeDef& def : op.attributes) known.emplace_back(def.name);
      fail("{} has an unknown attribute '{}'{}", where(node), name, nearest_hint(name, known));
    }
    if (it->kind != kind_of(value)) {
      // An empty list has no kind of its own in files.
      const auto* ints = std::get_if<std::vector<int64_t>>(&value);
      if (!(ints && ints->empty())) fail("{}: attribute '{}' is of the wrong kind", where(node), name);
    }
  }
  for (const AttributeDef& def : op.attributes) {
    if (def.required && !node.attributes.has(def.name))
      fail("{} lacks its attribute '{}'", where(node), def.name);
  }
}

void verify_signature(const Node& node, const OpDef& op) {
  const auto inputs = static_cast<int>(node.inputs.size());
  if (inputs < op.min_inputs || inputs > op.max_inputs) {
    fail("{} has {} inputs, the operator takes {}{}", where(node), inputs, op.min_inputs,
         op.max_inputs == op.min_inputs
             ? ""
             : (op.max_inputs == kVariadic ? " or more" : fmt::format(" to {}", op.max_inputs)));
  }
  const int needed = op.max_inputs == kVariadic ? inputs : op.min_inputs;
  for (int i = 0; i < needed; ++i) {
    if (node.inputs[static_cast<size_t>(i)] == kNone) fail("{} lacks its input {}", where(node), i);
  }
  if (node.outputs.empty() || static_cast<int>(node.outputs.size()) > op.max_outputs) {
    fail("{} has {} outputs, the operator gives up to {}", where(node), node.outputs.size(), op.max_outputs);
  }
}

void verify_links(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const ValueId input = node.inputs[i];
    if (input == kNone) continue;
    const Value& value = graph.value(input);
    if (value.erased) fail("{} reads the erased tensor '{}'", where(node), value.name);
    const bool made = value.producer != kNone || value.constant ||
                      std::ranges::find(graph.inputs(), input) != graph.inputs().end();
    if (!made) fail("{} reads '{}', which nothing makes", where(node), value.name);
    const Use use{id, static_cast<int>(i)};
    if (std::ranges::count(value.uses, use) != 1)
      fail("{}: the uses of '{}' are inconsistent", where(node), value.name);
  }
  for (const ValueId output : node.outputs) {
    if (output != kNone && graph.value(output).producer != id)
      fail("{}: an output is not its own", where(node));
  }
}

}  // namespace

void verify_node(const Node& node, const OpTable& ops) {
  if (ops.find(node.op) == nullptr) {
    // The sentence names the node itself: it is the one that users of new models meet.
    try {
      ops.get(node.op);
    } catch (const Error& error) {
      fail("node '{}': {}", node.name, error.what());
    }
  }
  const OpDef& op = ops.get(node.op);
  verify_signature(node, op);
  verify_attributes(node, op);
}

void verify(const Graph& graph, const OpTable& ops) {
  if (graph.outputs().empty()) fail("the graph has no outputs");
  for (const ValueId output : graph.outputs()) {
    if (output == kNone || graph.value(output).erased) fail("a graph output is missing");
    const Value& value = graph.value(output);
    const bool made = value.producer != kNone || value.constant ||
                      std::ranges::find(graph.inputs(), output) != graph.inputs().end();
    if (!made) fail("the graph output '{}' is made by no node", value.name);
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < graph.value_capacity(); ++i) {
    const Value& value = graph.value(static_cast<ValueId>(i));
    if (!value.erased && !names.insert(value.name).second) fail("two tensors are called '{}'", value.name);
  }
  for (const NodeId id : graph.topological_order()) {
    verify_node(graph.node(id), ops);
    verify_links(graph, id);
  }
}

namespace {

void verify_scale(const Node& node, const Tensor& scale) {
  for (const float s : scale.to_floats()) {
    if (!(s > 0.0f) || !std::isfinite(s))
      fail("{}: a scale is {}; scales must be positive and finite", where(node), s);
  }
}

void verify_channels(const Graph& graph, const Node& node, const Tensor& scale) {
  if (scale.size() == 1 || scale.rank() != 1) return;
  const Type& type = graph.value(node.inputs[0]).type;
  if (!type.shape) return;
  const int64_t axis = normalize_axis(node.attributes.integer("axis", 1), type.shape->size());
  const int64_t channels = (*type.shape)[static_cast<size_t>(axis)];
  if (channels != kUnknownDim && channels != scale.size()) {
    fail("{}: {} scales for {} channels at axis {}", where(node), scale.size(), channels, axis);
  }
}

}  // namespace

void verify_qdq(const Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op != "QuantizeLinear" && node.op != "DequantizeLinear") continue;
    const Tensor* scale = node.inputs.size() > 1 ? graph.constant(node.inputs[1]) : nullptr;
    if (scale == nullptr)
      fail("{}: the scale is not a constant; kvant needs fixed scales (calibrate first)", where(node));
    verify_scale(node, *scale);
    noting([&] { return fmt::format("in {}", where(node)); }, [&] { verify_channels(graph, node, *scale); });
    if (node.inputs.size() < 3 || node.inputs[2] == kNone) continue;
    const Tensor* zero_point = graph.constant(node.inputs[2]);
    if (zero_point == nullptr) fail("{}: the zero point is not a constant", where(node));
    if (zero_point->shape() != scale->shape() && !(zero_point->size() == 1 && scale->size() == 1)) {
      fail("{}: the zero point has shape {}, the scale {}", where(node), to_string(zero_point->shape()),
           to_string(scale->shape()));
    }
    noting([&] { return fmt::format("in {}", where(node)); }, [&] { code_range(zero_point->dtype()); });
  }
}

}  // namespace kvant::ir
