// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/edit.h"

#include <algorithm>

#include "base/error.h"
#include "ir/qdq.h"

namespace kvant::engine {
namespace {

void add_sources(const ir::Graph& graph, ir::NodeId from, std::vector<std::string>& sources) {
  const ir::Node& node = graph.node(from);
  std::vector<std::string> names = node.sources;
  // Passes free a node's name for its successor by a '~' at its end; people know it without.
  if (names.empty()) names.push_back(node.name.substr(0, node.name.find_last_not_of('~') + 1));
  for (std::string& name : names) {
    if (std::ranges::find(sources, name) == sources.end()) sources.push_back(std::move(name));
  }
}

bool is_byte(DType dtype) { return dtype == DType::Int8 || dtype == DType::UInt8; }

// f32 on the real side: 16-bit scales mean 16-bit results, which integer kernels do not make.
bool real_side_is_float(const ir::Graph& graph, const ir::Node& node) {
  return graph.value(node.inputs[1]).type.dtype == DType::Float32;
}

}  // namespace

ir::NodeId Edit::node(std::string op, std::string_view name, std::vector<ir::ValueId> inputs,
                      ir::Attributes attributes, const std::vector<ir::NodeId>& from,
                      std::vector<std::string> values) {
  std::vector<std::string> sources;
  for (const ir::NodeId id : from) add_sources(graph_, id, sources);
  const ir::NodeId id =
      graph_.add_node(std::move(op), name, std::move(inputs), std::move(values), std::move(attributes));
  graph_.sources(id) = std::move(sources);
  const ir::Node& added = graph_.node(id);
  std::vector<ir::Type> types;
  std::vector<const Tensor*> constants;
  for (const ir::ValueId input : added.inputs) {
    types.push_back(input == ir::kNone ? ir::Type{} : graph_.value(input).type);
    constants.push_back(graph_.constant(input));
  }
  const std::vector<ir::Type> outputs = ops_.get(added.op).infer({added, types, constants});
  for (size_t i = 0; i < added.outputs.size(); ++i) graph_.set_type(added.outputs[i], outputs.at(i));
  return id;
}

ir::ValueId Edit::value(std::string op, std::string_view name, std::vector<ir::ValueId> inputs,
                        ir::Attributes attributes, const std::vector<ir::NodeId>& from) {
  const std::vector<std::string> values = {std::string(name)};
  return graph_.node(node(std::move(op), name, std::move(inputs), std::move(attributes), from, values))
      .outputs[0];
}

void Edit::take_place(ir::ValueId old, ir::ValueId fresh) {
  const std::string name = graph_.value(old).name;
  const std::vector<std::string> dims = graph_.value(old).dim_names;
  graph_.replace_uses(old, fresh);
  graph_.rename_value(old, name + "~");
  graph_.rename_value(fresh, name);
  if (!dims.empty()) graph_.set_dim_names(fresh, dims);
}

std::vector<ir::NodeId> upwards(const ir::Graph& graph) {
  std::vector<ir::NodeId> order = graph.topological_order();
  std::ranges::reverse(order);
  return order;
}

ir::NodeId sole_user(const ir::Graph& graph, ir::ValueId id) {
  return id != ir::kNone && graph.use_count(id) == 1 && graph.value(id).uses.size() == 1
             ? graph.value(id).uses[0].node
             : ir::kNone;
}

std::optional<Shape> static_shape(const ir::Graph& graph, ir::ValueId id) {
  if (id == ir::kNone || !graph.value(id).type.is_static()) return std::nullopt;
  return graph.value(id).type.shape;
}

ir::ValueId input_at(const ir::Node& node, size_t index) {
  return index < node.inputs.size() ? node.inputs[index] : ir::kNone;
}

std::optional<float> scalar_at(const ir::Graph& graph, ir::ValueId id) {
  const Tensor* constant = graph.constant(id);
  if (constant == nullptr || constant->size() != 1) return std::nullopt;
  return constant->to_floats()[0];
}

std::optional<Dequantized> dequantized(const ir::Graph& graph, ir::ValueId id) {
  const ir::Node* node = graph.producer(id);
  if (node == nullptr || !ir::is_dequantize(*node) || !real_side_is_float(graph, *node)) return std::nullopt;
  const ir::NodeId producer = graph.value(id).producer;
  auto params = ir::params_of(graph, producer);
  if (!params || !params->per_tensor() || !is_byte(params->dtype) || graph.is_constant(node->inputs[0]))
    return std::nullopt;
  return Dequantized{producer, node->inputs[0], std::move(*params)};
}

std::optional<QuantParams> tensor_quantizer(const ir::Graph& graph, ir::NodeId id) {
  if (id == ir::kNone || !ir::is_quantize(graph.node(id)) || !real_side_is_float(graph, graph.node(id)))
    return std::nullopt;
  if (graph.value(graph.node(id).inputs[0]).type.dtype != DType::Float32) return std::nullopt;
  auto params = ir::params_of(graph, id);
  if (!params || !params->per_tensor() || !is_byte(params->dtype)) return std::nullopt;
  return params;
}

bool same_params(const QuantParams& a, const QuantParams& b) {
  if (a.dtype != b.dtype || a.axis != b.axis || a.scale != b.scale) return false;
  for (size_t i = 0; i < a.scale.size(); ++i) {
    if (a.zero_point_at(i) != b.zero_point_at(i)) return false;
  }
  return true;
}

}  // namespace kvant::engine
