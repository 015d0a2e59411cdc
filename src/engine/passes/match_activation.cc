// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <map>

#include "engine/passes/epilogue.h"

namespace kvant::engine {
namespace {

bool is_near(std::optional<float> value, double wanted) {
  return value && std::abs(*value - wanted) < 1e-4 * std::abs(wanted);
}

// `id` times or plus a scalar constant: the other operand of a two-input node.
std::optional<float> scalar_operand(const ir::Graph& graph, const ir::Node& node, ir::ValueId id) {
  if (node.inputs.size() != 2) return std::nullopt;
  return scalar_at(graph, node.inputs[0] == id ? node.inputs[1] : node.inputs[0]);
}

// The node of operator `op` that alone reads `id`.
const ir::Node* sole(const ir::Graph& graph, ir::ValueId id, std::string_view op,
                     std::vector<ir::NodeId>& nodes) {
  const ir::NodeId user = sole_user(graph, id);
  if (user == ir::kNone || graph.node(user).op != op) return nullptr;
  nodes.push_back(user);
  return &graph.node(user);
}

std::optional<ActivationMatch> single_operator(const ir::Graph& graph, ir::NodeId id) {
  const ir::Node& node = graph.node(id);
  ActivationMatch match{.name = node.op, .end = node.outputs[0], .nodes = {id}};
  const ir::Attributes& a = node.attributes;
  if (const auto bounds = bounds_of(graph, node)) {
    if (node.op == "Clip") {
      match.alpha = bounds->low;
      match.beta = bounds->high;
    }
    return match;
  }
  if (node.op == "LeakyRelu") {
    match.alpha = a.real("alpha", 0.01f);
  } else if (node.op == "Elu") {
    match.alpha = a.real("alpha", 1.0f);
  } else if (node.op == "HardSigmoid") {
    match.alpha = a.real("alpha", 0.2f);
    match.beta = a.real("beta", 0.5f);
  } else if (node.op == "Gelu") {
    match.name = a.text("approximate", "none") == "tanh" ? "GeluTanh" : "Gelu";
  } else if (node.op != "Sigmoid" && node.op != "HardSwish" && node.op != "Tanh" && node.op != "Softplus" &&
             node.op != "Mish") {
    return std::nullopt;
  }
  return match;
}

// x * gate(x), gate alone between: Silu and HardSwish.
std::optional<ActivationMatch> gated(const ir::Graph& graph, ir::ValueId id) {
  if (graph.use_count(id) != 2 || graph.value(id).uses.size() != 2) return std::nullopt;
  for (const ir::Use& use : graph.value(id).uses) {
    const ir::Node& gate = graph.node(use.node);
    const bool is_sigmoid = gate.op == "Sigmoid";
    const bool is_hard = gate.op == "HardSigmoid" && is_near(gate.attributes.real("alpha", 0.2f), 1.0 / 6) &&
                         is_near(gate.attributes.real("beta", 0.5f), 0.5);
    if (!is_sigmoid && !is_hard) continue;
    ActivationMatch match{.name = is_sigmoid ? "Silu" : "HardSwish", .nodes = {use.node}};
    const ir::Node* mul = sole(graph, gate.outputs[0], "Mul", match.nodes);
    if (mul == nullptr || (mul->inputs[0] != id && mul->inputs[1] != id)) continue;
    match.end = mul->outputs[0];
    return match;
  }
  return std::nullopt;
}

// x * (1 + Erf(x / sqrt 2)) * 0.5, as exporters write GELU.
std::optional<ActivationMatch> erf_gelu(const ir::Graph& graph, ir::ValueId id) {
  if (graph.use_count(id) != 2 || graph.value(id).uses.size() != 2) return std::nullopt;
  for (const ir::Use& use : graph.value(id).uses) {
    const ir::Node& scale = graph.node(use.node);
    const auto factor = scalar_operand(graph, scale, id);
    const bool divides = scale.op == "Div" && scale.inputs[0] == id && is_near(factor, std::sqrt(2.0));
    if (!divides && !(scale.op == "Mul" && is_near(factor, std::sqrt(0.5)))) continue;
    ActivationMatch match{.name = "Gelu", .nodes = {use.node}};
    const ir::Node* erf = sole(graph, scale.outputs[0], "Erf", match.nodes);
    const ir::Node* add = erf != nullptr ? sole(graph, erf->outputs[0], "Add", match.nodes) : nullptr;
    if (add == nullptr || !is_near(scalar_operand(graph, *add, erf->outputs[0]), 1.0)) continue;
    const ir::Node* mul = sole(graph, add->outputs[0], "Mul", match.nodes);
    if (mul == nullptr || (mul->inputs[0] != id && mul->inputs[1] != id)) continue;
    const ir::Node* half = sole(graph, mul->outputs[0], "Mul", match.nodes);
    if (half == nullptr || !is_near(scalar_operand(graph, *half, mul->outputs[0]), 0.5)) continue;
    match.end = half->outputs[0];
    return match;
  }
  return std::nullopt;
}

}  // namespace

std::optional<Bounds> bounds_of(const ir::Graph& graph, const ir::Node& node) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (node.op == "Relu") return Bounds{0, kInfinity};
  if (node.op != "Clip") return std::nullopt;
  Bounds bounds{-kInfinity, kInfinity};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == ir::kNone) continue;
    const auto bound = scalar_at(graph, node.inputs[i]);
    if (!bound || *bound != *bound) return std::nullopt;
    (i == 1 ? bounds.low : bounds.high) = *bound;
  }
  if (bounds.low > bounds.high) return std::nullopt;
  return bounds;
}

std::optional<ActivationMatch> match_activation(const ir::Graph& graph, ir::ValueId id) {
  const ir::NodeId user = sole_user(graph, id);
  if (user != ir::kNone) return single_operator(graph, user);
  if (auto match = gated(graph, id)) return match;
  return erf_gelu(graph, id);
}

}  // namespace kvant::engine
