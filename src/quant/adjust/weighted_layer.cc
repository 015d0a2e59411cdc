// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/weighted_layer.h"

#include "base/error.h"

namespace kvant::quant {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

namespace {

// Where the bias of a layer is: an input of a node, which may be absent.
struct BiasSlot {
  NodeId node = kNone;
  int input = 0;
};

std::optional<BiasSlot> bias_slot(const Graph& graph, const WeightedLayer& layer) {
  const Node& node = graph.node(layer.node);
  if (node.op != "MatMul") return BiasSlot{layer.node, 2};
  const ir::Value& result = graph.value(layer.result);
  if (result.uses.size() != 1 || graph.is_output(layer.result)) return std::nullopt;
  const ir::Use use = result.uses[0];
  if (graph.node(use.node).op != "Add") return std::nullopt;
  return BiasSlot{use.node, 1 - use.index};
}

ValueId bias_value(const Graph& graph, const BiasSlot& slot) {
  const Node& node = graph.node(slot.node);
  return static_cast<size_t>(slot.input) < node.inputs.size() ? node.inputs[static_cast<size_t>(slot.input)]
                                                              : kNone;
}

double beta_of(const Node& node) { return node.op == "Gemm" ? node.attributes.real("beta", 1.0f) : 1.0; }

// Sets channels, groups and axes from the weight's shape; false where they do not fit.
bool describe(const Node& node, const Tensor& weight, WeightedLayer& layer) {
  const bool conv = node.op == "Conv", transposed = node.op == "ConvTranspose";
  layer.image = conv || transposed;
  if (layer.image ? weight.rank() < 3 : weight.rank() != 2) return false;
  layer.groups = layer.image ? node.attributes.integer("group", 1) : 1;
  const bool rows_are_outputs = conv || (node.op == "Gemm" && node.attributes.integer("transB", 0) != 0);
  layer.out_axis = rows_are_outputs ? 0 : 1;
  if (layer.groups < 1 || weight.size() == 0 || weight.dim(0) % layer.groups != 0) return false;
  layer.outputs = rows_are_outputs ? weight.dim(0) : weight.dim(1) * layer.groups;
  layer.inputs = rows_are_outputs ? weight.dim(1) * layer.groups : weight.dim(0);
  layer.inner = weight.size() / (weight.dim(0) * weight.dim(1));
  return true;
}

}  // namespace

WeightedLayer::Place WeightedLayer::place(int64_t flat) const {
  const int64_t columns = out_axis == 0 ? inputs / groups : outputs / groups;
  const int64_t row = flat / inner / columns, column = flat / inner % columns;
  const int64_t rows = (out_axis == 0 ? outputs : inputs) / groups;
  const int64_t other = row / rows * columns + column;
  return out_axis == 0 ? Place{row, other} : Place{other, row};
}

std::optional<WeightedLayer> weighted_layer(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  const bool known =
      node.op == "Conv" || node.op == "ConvTranspose" || node.op == "Gemm" || node.op == "MatMul";
  if (node.erased || !known || node.inputs.size() < 2) return std::nullopt;
  if (node.op == "Gemm" && node.attributes.integer("transA", 0) != 0) return std::nullopt;
  WeightedLayer layer;
  layer.node = id;
  layer.data = node.inputs[0];
  layer.result = node.outputs[0];
  layer.pair = ir::quantized_behind(graph, node.inputs[1]);
  layer.weight = layer.pair ? layer.pair->source : node.inputs[1];
  const Tensor* weight = graph.constant(layer.weight);
  if (weight == nullptr || !is_float(weight->dtype()) || graph.is_constant(layer.data)) return std::nullopt;
  if (!describe(node, *weight, layer)) return std::nullopt;
  return layer;
}

std::vector<WeightedLayer> weighted_layers(const Graph& graph) {
  std::vector<WeightedLayer> layers;
  for (const NodeId id : graph.topological_order()) {
    if (auto layer = weighted_layer(graph, id)) layers.push_back(std::move(*layer));
  }
  return layers;
}

std::vector<float> weight_values(const Graph& graph, const WeightedLayer& layer) {
  return graph.constant(layer.weight)->to_floats();
}

void set_weight(Graph& graph, WeightedLayer& layer, const std::vector<float>& values) {
  const Tensor& old = *graph.constant(layer.weight);
  Tensor weight = Tensor::of<float>(old.shape(), values).cast(old.dtype());
  if (graph.use_count(layer.weight) == 1 && (!layer.pair || graph.use_count(layer.pair->result) == 1)) {
    graph.set_constant(layer.weight, std::move(weight));
    return;
  }
  KVANT_CHECK(!layer.pair, "a quantized weight that several layers read is not changed for one of them");
  layer.weight = graph.add_constant(graph.value(layer.weight).name, std::move(weight));
  graph.set_input(layer.node, 1, layer.weight);
}

std::optional<std::vector<float>> bias_values(const Graph& graph, const WeightedLayer& layer) {
  const auto slot = bias_slot(graph, layer);
  if (!slot) return std::nullopt;
  const auto channels = static_cast<size_t>(layer.outputs);
  const ValueId id = bias_value(graph, *slot);
  const bool optional = graph.node(slot->node).op != "Add";
  if (id == kNone && optional) return std::vector<float>(channels, 0.0f);
  const Tensor* bias = graph.constant(id);
  if (bias == nullptr || !is_float(bias->dtype()) || bias->rank() == 0) return std::nullopt;
  if (bias->dim(bias->rank() - 1) != bias->size() || bias->size() != layer.outputs) return std::nullopt;
  std::vector<float> values = bias->to_floats();
  const double beta = beta_of(graph.node(layer.node));
  for (float& value : values) value = static_cast<float>(value * beta);
  return values;
}

void set_bias(Graph& graph, const WeightedLayer& layer, const std::vector<float>& values) {
  const auto slot = bias_slot(graph, layer);
  KVANT_CHECK(slot.has_value(), "the layer's bias was readable");
  const ValueId old = bias_value(graph, *slot);
  const Shape shape = old == kNone ? Shape{layer.outputs} : graph.constant(old)->shape();
  const DType dtype = graph.constant(layer.weight)->dtype();
  const std::string name = old == kNone ? graph.node(layer.node).name + "/bias" : graph.value(old).name;
  const ValueId bias = graph.add_constant(name, Tensor::of<float>(shape, values).cast(dtype));
  if (old == kNone) {
    std::vector<ValueId> inputs = graph.node(slot->node).inputs;
    inputs.resize(2);
    inputs.push_back(bias);
    graph.set_inputs(slot->node, std::move(inputs));
  } else {
    graph.set_input(slot->node, slot->input, bias);
    graph.erase_dead();
    if (graph.find_value(name) == kNone) graph.rename_value(bias, name);
  }
  if (graph.node(layer.node).op == "Gemm") graph.attributes(layer.node).erase("beta");
}

}  // namespace kvant::quant
