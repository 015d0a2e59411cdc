// SPDX-License-Identifier: Apache-2.0
#include "ir/qdq.h"

#include <charconv>
#include <string>

namespace kvant::ir {
namespace {

// TensorProto's numbers, as the attribute output_dtype holds them.
std::optional<DType> onnx_integer_type(int64_t number) {
  switch (number) {
    case 2:
      return DType::UInt8;
    case 3:
      return DType::Int8;
    case 4:
      return DType::UInt16;
    case 5:
      return DType::Int16;
    case 6:
      return DType::Int32;
    default:
      return std::nullopt;
  }
}

std::optional<DType> code_type(const Graph& graph, const Node& node, const Tensor* zero_point) {
  if (zero_point != nullptr) return zero_point->dtype();
  if (is_dequantize(node)) return graph.value(node.inputs[0]).type.dtype;
  const int64_t wanted = node.attributes.integer("output_dtype", 0);
  return wanted == 0 ? DType::UInt8 : onnx_integer_type(wanted);
}

// Rank of what Q or DQ works on: its data input's or output's type, whichever knows.
std::optional<size_t> data_rank(const Graph& graph, const Node& node) {
  for (const ValueId id : {node.inputs[0], node.outputs[0]}) {
    if (id == kNone) continue;
    if (const Tensor* constant = graph.constant(id)) return constant->rank();
    if (graph.value(id).type.shape) return graph.value(id).type.shape->size();
  }
  return std::nullopt;
}

ValueId input_of(const Node& node, size_t i) { return i < node.inputs.size() ? node.inputs[i] : kNone; }

// The bits of a constant's codes: "kvant.bits:<its name>" in the metadata where they differ from the model's.
int bits_of(const Graph& graph, ValueId constant) {
  auto found = graph.metadata.find(std::string(kBitsKey) + ":" + graph.value(constant).name);
  if (found == graph.metadata.end()) found = graph.metadata.find(std::string(kBitsKey));
  if (found == graph.metadata.end()) return 8;
  const std::string& text = found->second;
  int bits = 8;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  return error == std::errc() && end == text.data() + text.size() && bits >= 2 && bits < 8 ? bits : 8;
}

// One number behind a Clip bound, if it is a constant.
std::optional<float> clip_bound(const Graph& graph, const Node& clip, size_t i) {
  const Tensor* bound = graph.constant(input_of(clip, i));
  if (bound == nullptr || bound->size() != 1) return std::nullopt;
  return bound->to_floats()[0];
}

// Whether `id`, read by a Q of `params`, is made by a Clip whose bounds lie on the codes' grid, strictly
// inside it: the one that add_pair() writes for fewer than 8 bits, and not an activation function such as
// Relu6.
bool is_code_clip(const Graph& graph, ValueId id, const QuantParams& params, IntRange* range) {
  const Node* clip = graph.producer(id);
  if (clip == nullptr || clip->op != "Clip" || !params.per_tensor() || params.zero_point_at(0) != 0)
    return false;
  const auto low = clip_bound(graph, *clip, 1);
  const auto high = clip_bound(graph, *clip, 2);
  if (!low || !high || *low != -*high || !(*high > 0)) return false;
  const IntRange full = code_range(params.dtype);
  const int32_t top = quantize_value(*high, params.scale[0], 0, full);
  if (top >= full.high || dequantize_value(top, params.scale[0], 0) != *high) return false;
  *range = {-top, top};
  return true;
}

Tensor scale_tensor(const QuantParams& params, DType dtype) {
  Tensor scale =
      params.per_tensor() ? Tensor::scalar<float>(params.scale[0]) : Tensor::vector<float>(params.scale);
  return scale.cast(dtype);
}

Tensor zero_point_tensor(const QuantParams& params) {
  std::vector<int32_t> zeros(params.scale.size());
  for (size_t i = 0; i < zeros.size(); ++i) zeros[i] = params.zero_point_at(i);
  Tensor result = params.per_tensor() ? Tensor::scalar<int32_t>(zeros[0]) : Tensor::vector<int32_t>(zeros);
  return result.cast(params.dtype);
}

// Bounds exactly on the grid, as DQ computes them, so that the clipped value and its code agree.
float clip_limit(const QuantParams& params, int32_t top) { return dequantize_value(top, params.scale[0], 0); }

}  // namespace

bool is_quantize(const Node& node) { return node.op == "QuantizeLinear"; }
bool is_dequantize(const Node& node) { return node.op == "DequantizeLinear"; }

std::optional<QuantParams> params_of(const Graph& graph, NodeId q_or_dq) {
  if (q_or_dq == kNone) return std::nullopt;
  const Node& node = graph.node(q_or_dq);
  if (node.erased || (!is_quantize(node) && !is_dequantize(node)) || node.inputs.size() < 2)
    return std::nullopt;
  if (node.attributes.integer("block_size", 0) != 0) return std::nullopt;
  const Tensor* scale = graph.constant(input_of(node, 1));
  const ValueId zero_id = input_of(node, 2);
  const Tensor* zero_point = graph.constant(zero_id);
  if (scale == nullptr || scale->size() < 1 || scale->rank() > 1 ||
      (zero_id != kNone && zero_point == nullptr)) {
    return std::nullopt;
  }
  if (zero_point != nullptr && zero_point->size() != scale->size()) return std::nullopt;
  const std::optional<DType> dtype = code_type(graph, node, zero_point);
  if (!dtype || !is_integer(*dtype) || *dtype == DType::Int64 || *dtype == DType::UInt64 ||
      *dtype == DType::UInt32) {
    return std::nullopt;
  }
  QuantParams params{.dtype = *dtype, .scale = scale->to_floats(), .zero_point = {}};
  if (zero_point != nullptr) {
    bool any = false;
    for (const int64_t z : zero_point->to_ints()) {
      params.zero_point.push_back(static_cast<int32_t>(z));
      any = any || z != 0;
    }
    if (!any) params.zero_point.clear();
  }
  if (params.scale.size() == 1) return params;
  params.axis = node.attributes.integer("axis", 1);
  const std::optional<size_t> rank = data_rank(graph, node);
  if (params.axis < 0 && !rank) return std::nullopt;
  if (rank) {
    const auto signed_rank = static_cast<int64_t>(*rank);
    if (params.axis < -signed_rank || params.axis >= signed_rank) return std::nullopt;
    if (params.axis < 0) params.axis += signed_rank;
  }
  return params;
}

std::optional<Quantized> quantized_behind(const Graph& graph, ValueId value) {
  const Node* dequantize = graph.producer(value);
  if (dequantize == nullptr || !is_dequantize(*dequantize)) return std::nullopt;
  Quantized view{.dequantize = graph.value(value).producer,
                 .codes = dequantize->inputs[0],
                 .result = value,
                 .params = {}};
  const std::optional<QuantParams> params = params_of(graph, view.dequantize);
  if (!params) return std::nullopt;
  view.params = *params;
  view.range = code_range(params->dtype);
  bool constant = graph.is_constant(view.codes);
  const Node* quantize = graph.producer(view.codes);
  if (quantize != nullptr && is_quantize(*quantize)) {
    const NodeId id = graph.value(view.codes).producer;
    if (params_of(graph, id) == params) {
      view.quantize = id;
      view.source = quantize->inputs[0];
      if (is_code_clip(graph, view.source, *params, &view.range)) {
        view.clip = graph.value(view.source).producer;
        view.source = graph.node(view.clip).inputs[0];
      }
      constant = graph.is_constant(view.source);
    }
  }
  if (constant && params->dtype == DType::Int8) {
    const int bits = bits_of(graph, view.source == kNone ? view.codes : view.source);
    const int32_t top = (1 << (bits - 1)) - 1;
    if (bits < 8) view.range = {-top, top};
  }
  return view;
}

std::vector<Quantized> quantized_forms(const Graph& graph, ValueId value) {
  std::vector<Quantized> forms;
  const auto collect = [&](ValueId read) {
    for (const Use& q : graph.value(read).uses) {
      const Node& quantize = graph.node(q.node);
      if (!is_quantize(quantize) || q.index != 0 || quantize.outputs[0] == kNone) continue;
      for (const Use& dq : graph.value(quantize.outputs[0]).uses) {
        if (!is_dequantize(graph.node(dq.node)) || dq.index != 0) continue;
        const auto view = quantized_behind(graph, graph.node(dq.node).outputs[0]);
        if (view && view->source == value) forms.push_back(*view);
      }
    }
  };
  collect(value);
  for (const Use& use : graph.value(value).uses) {
    const Node& clip = graph.node(use.node);
    if (clip.op == "Clip" && use.index == 0) collect(clip.outputs[0]);
  }
  return forms;
}

ValueId quantized_source(const Graph& graph, ValueId value) {
  const auto view = quantized_behind(graph, value);
  return view && view->source != kNone ? view->source : value;
}

const Tensor* quantized_constant(const Graph& graph, ValueId value) {
  return graph.constant(quantized_source(graph, value));
}

Quantized add_pair(Graph& graph, ValueId source, const QuantParams& params, int bits) {
  KVANT_CHECK(!params.scale.empty(), "a Q/DQ pair needs a scale");
  KVANT_CHECK(bits >= 2 && bits <= 8, "bits out of range");
  const std::string base = graph.value(source).name;
  Quantized pair{.source = source, .params = params, .range = code_range(params.dtype)};
  ValueId read = source;
  const DType real = graph.value(source).type.dtype;
  if (bits < 8 && params.dtype == DType::Int8) {
    pair.range.high = (1 << (bits - 1)) - 1;
    pair.range.low = -pair.range.high;
    if (!graph.is_constant(source)) {
      KVANT_CHECK(params.per_tensor(), "a Clip has one bound for the whole tensor");
      const float limit = clip_limit(params, pair.range.high);
      const ValueId low = graph.add_constant(base + "_clip_low", Tensor::scalar<float>(-limit).cast(real));
      const ValueId high = graph.add_constant(base + "_clip_high", Tensor::scalar<float>(limit).cast(real));
      pair.clip = graph.add_node("Clip", base + "_Clip", {source, low, high}, {base + "_clipped"});
      read = graph.node(pair.clip).outputs[0];
      graph.set_type(read, graph.value(source).type);
    }
  }
  Attributes attributes;
  if (!params.per_tensor()) attributes.set("axis", params.axis);
  const ValueId scale = graph.add_constant(base + "_scale", scale_tensor(params, real));
  const ValueId zero = graph.add_constant(base + "_zero_point", zero_point_tensor(params));
  pair.quantize = graph.add_node("QuantizeLinear", base + "_QuantizeLinear", {read, scale, zero},
                                 {base + "_quantized"}, attributes);
  pair.codes = graph.node(pair.quantize).outputs[0];
  graph.set_type(pair.codes, {params.dtype, graph.value(source).type.shape});
  pair.dequantize = graph.add_node("DequantizeLinear", base + "_DequantizeLinear", {pair.codes, scale, zero},
                                   {base + "_dequantized"}, attributes);
  pair.result = graph.node(pair.dequantize).outputs[0];
  graph.set_type(pair.result, graph.value(source).type);
  return pair;
}

void set_params(Graph& graph, const Quantized& pair, const QuantParams& params) {
  KVANT_CHECK(params.scale.size() == pair.params.scale.size() && params.dtype == pair.params.dtype,
              "new parameters of another kind");
  const std::string base = graph.value(pair.source != kNone ? pair.source : pair.codes).name;
  const ValueId old_scale = input_of(graph.node(pair.dequantize), 1);
  const DType real = graph.constant(old_scale)->dtype();
  const Shape shape = graph.constant(old_scale)->shape();
  Tensor scale_value = Tensor::of<float>(shape, params.scale).cast(real);
  const ValueId scale = graph.add_constant(base + "_scale", std::move(scale_value));
  Tensor zero_value = zero_point_tensor(params).reshaped(shape);
  const ValueId zero = graph.add_constant(base + "_zero_point", std::move(zero_value));
  for (const NodeId id : {pair.quantize, pair.dequantize}) {
    if (id == kNone) continue;
    std::vector<ValueId> inputs = graph.node(id).inputs;
    inputs.resize(3, kNone);
    inputs[1] = scale;
    inputs[2] = zero;
    graph.set_inputs(id, inputs);
  }
  if (pair.clip == kNone) return;
  const float limit = clip_limit(params, pair.range.high);
  graph.set_input(pair.clip, 1,
                  graph.add_constant(base + "_clip_low", Tensor::scalar<float>(-limit).cast(real)));
  graph.set_input(pair.clip, 2,
                  graph.add_constant(base + "_clip_high", Tensor::scalar<float>(limit).cast(real)));
}

}  // namespace kvant::ir
