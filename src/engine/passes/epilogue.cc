// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/epilogue.h"

namespace kvant::engine {
namespace {

// y = x op c for a per-channel constant c; false when the node is something else.
bool take_affine(const ir::Graph& graph, const ir::Node& node, ir::ValueId id, size_t axis,
                 Epilogue& epilogue) {
  const bool commutes = node.op == "Mul" || node.op == "Add";
  if (!commutes && node.op != "Sub" && node.op != "Div") return false;
  if (node.inputs[0] != id && !commutes) return false;
  const ir::ValueId other = node.inputs[0] == id ? node.inputs[1] : node.inputs[0];
  const size_t rank = graph.value(id).type.shape->size();
  const auto values = per_channel(graph, other, rank, axis, static_cast<int64_t>(epilogue.gain.size()));
  if (!values) return false;
  for (size_t k = 0; k < epilogue.gain.size(); ++k) {
    const double c = (*values)[k];
    if (node.op == "Add") epilogue.offset[k] += c;
    if (node.op == "Sub") epilogue.offset[k] -= c;
    if (node.op == "Mul") epilogue.gain[k] *= c, epilogue.offset[k] *= c;
    if (node.op == "Div") epilogue.gain[k] /= c, epilogue.offset[k] /= c;
  }
  return true;
}

bool take_residual(const ir::Graph& graph, const ir::Node& node, ir::ValueId id, Epilogue& epilogue) {
  if (node.op != "Add" || node.inputs[0] == node.inputs[1]) return false;
  const ir::ValueId other = node.inputs[0] == id ? node.inputs[1] : node.inputs[0];
  if (graph.is_constant(other) || !(graph.value(other).type == graph.value(id).type)) return false;
  epilogue.residual = other;
  return true;
}

// Relu and Clip up to a Q; nothing is taken when there is no Q at their end.
void take_quantizer(const ir::Graph& graph, Epilogue& epilogue) {
  std::vector<Bounds> clamps;
  std::vector<ir::NodeId> nodes;
  ir::ValueId id = epilogue.end;
  for (ir::NodeId user = sole_user(graph, id); user != ir::kNone; user = sole_user(graph, id)) {
    nodes.push_back(user);
    const ir::Node& node = graph.node(user);
    id = node.outputs[0];
    if (const auto params = tensor_quantizer(graph, user)) {
      epilogue.clamps = std::move(clamps);
      epilogue.quantize = user;
      epilogue.output = *params;
      epilogue.end = id;
      epilogue.nodes.insert(epilogue.nodes.end(), nodes.begin(), nodes.end());
      return;
    }
    const auto bounds = bounds_of(graph, node);
    if (!bounds) return;
    clamps.push_back(*bounds);
  }
}

void take_activation(const ir::Graph& graph, Epilogue& epilogue) {
  epilogue.activation = match_activation(graph, epilogue.end);
  if (!epilogue.activation) return;
  epilogue.end = epilogue.activation->end;
  epilogue.nodes.insert(epilogue.nodes.end(), epilogue.activation->nodes.begin(),
                        epilogue.activation->nodes.end());
}

}  // namespace

std::optional<std::vector<double>> per_channel(const ir::Graph& graph, ir::ValueId id, size_t rank,
                                               size_t axis, int64_t channels) {
  const Tensor* constant = graph.constant(id);
  if (constant == nullptr || constant->rank() > rank ||
      (constant->size() != 1 && constant->size() != channels))
    return std::nullopt;
  const size_t missing = rank - constant->rank();
  for (size_t i = 0; i < constant->rank(); ++i) {
    if (constant->dim(i) != 1 && i + missing != axis) return std::nullopt;
  }
  const std::vector<float> values = constant->to_floats();
  std::vector<double> result(static_cast<size_t>(channels));
  for (size_t k = 0; k < result.size(); ++k) result[k] = values[values.size() == 1 ? 0 : k];
  return result;
}

Epilogue follow_epilogue(const ir::Graph& graph, ir::ValueId start, size_t axis, bool integer) {
  Epilogue epilogue;
  const auto channels = static_cast<size_t>((*graph.value(start).type.shape)[axis]);
  epilogue.gain.assign(channels, 1.0);
  epilogue.offset.assign(channels, 0.0);
  epilogue.end = start;
  for (ir::NodeId user = sole_user(graph, start); user != ir::kNone; user = sole_user(graph, epilogue.end)) {
    const ir::Node& node = graph.node(user);
    const bool affine = take_affine(graph, node, epilogue.end, axis, epilogue);
    if (!affine && !take_residual(graph, node, epilogue.end, epilogue)) break;
    epilogue.nodes.push_back(user);
    epilogue.end = node.outputs[0];
    if (!affine) break;
  }
  if (integer) take_quantizer(graph, epilogue);
  if (epilogue.quantize != ir::kNone) return epilogue;
  take_activation(graph, epilogue);
  if (integer && epilogue.activation) take_quantizer(graph, epilogue);
  return epilogue;
}

}  // namespace kvant::engine
