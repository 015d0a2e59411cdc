// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/fold_batch_norm.h"

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "ir/qdq.h"
#include "quant/adjust/adjust.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

struct Affine {
  std::vector<double> gain, offset;  // by output channel: y = gain * x + offset
};

std::optional<Affine> affine_of(const Graph& graph, const Node& norm) {
  if (norm.inputs.size() < 5 || norm.attributes.integer("training_mode", 0) != 0) return std::nullopt;
  std::vector<std::vector<float>> parameters;
  for (size_t i = 1; i < 5; ++i) {
    const Tensor* constant = graph.constant(norm.inputs[i]);
    if (constant == nullptr || !is_float(constant->dtype())) return std::nullopt;
    parameters.push_back(constant->to_floats());
    if (parameters.back().size() != parameters.front().size()) return std::nullopt;
  }
  const double epsilon = norm.attributes.real("epsilon", 1e-5f);
  Affine affine;
  for (size_t k = 0; k < parameters[0].size(); ++k) {
    const double gain = parameters[0][k] / std::sqrt(static_cast<double>(parameters[3][k]) + epsilon);
    if (!std::isfinite(gain)) return std::nullopt;
    affine.gain.push_back(gain);
    affine.offset.push_back(parameters[1][k] - gain * parameters[2][k]);
  }
  return affine;
}

// How a weight's elements map to output channels: channel = group * of_axis + index at `axis`.
struct ChannelLayout {
  size_t axis = 0;
  int64_t groups = 1;  // ConvTranspose: the first axis is split into them
};

std::optional<ChannelLayout> layout_of(const Node& layer) {
  if (layer.op == "Conv") return ChannelLayout{};
  if (layer.op == "ConvTranspose") return ChannelLayout{1, layer.attributes.integer("group", 1)};
  if (layer.op == "Gemm")
    return ChannelLayout{layer.attributes.integer("transB", 0) != 0 ? size_t{0} : size_t{1}, 1};
  return std::nullopt;
}

int64_t channels_of(const Tensor& weight, const ChannelLayout& layout) {
  return weight.dim(layout.axis) * (layout.axis == 1 ? layout.groups : 1);
}

Tensor scaled(const Tensor& weight, const ChannelLayout& layout, const std::vector<double>& gain) {
  Tensor result(DType::Float32, weight.shape());
  const std::vector<float> in = weight.to_floats();
  const auto out = result.mutable_data<float>();
  int64_t inner = 1;
  for (size_t i = layout.axis + 1; i < weight.rank(); ++i) inner *= weight.dim(i);
  const int64_t at_axis = weight.dim(layout.axis);
  const int64_t rows_per_group = layout.groups > 1 ? weight.dim(0) / layout.groups : weight.size();
  for (int64_t i = 0; i < weight.size(); ++i) {
    int64_t channel = i / inner % at_axis;
    if (layout.groups > 1) channel += i / (inner * at_axis) / rows_per_group * at_axis;
    out[static_cast<size_t>(i)] =
        static_cast<float>(in[static_cast<size_t>(i)] * gain[static_cast<size_t>(channel)]);
  }
  return result.cast(weight.dtype());
}

// The layer's bias by channel (zeros when it has none), times `factor`; nothing if it is no constant of that
// form.
std::optional<std::vector<double>> bias_of(const Graph& graph, const Node& layer, size_t channels,
                                           double factor) {
  std::vector<double> bias(channels, 0.0);
  if (layer.inputs.size() < 3 || layer.inputs[2] == kNone) return bias;
  const Tensor* constant = graph.constant(layer.inputs[2]);
  if (constant == nullptr || !is_float(constant->dtype())) return std::nullopt;
  const auto size = static_cast<size_t>(constant->size());
  const bool row = constant->rank() <= 1 || (constant->rank() == 2 && constant->dim(0) == 1);
  if (!row || (size != channels && size != 1)) return std::nullopt;
  const std::vector<float> values = constant->to_floats();
  for (size_t k = 0; k < channels; ++k) bias[k] = factor * values[size == 1 ? 0 : k];
  return bias;
}

// The quantized weight's scales times |gain|; nothing where that is not possible without changing codes.
std::optional<QuantParams> scaled_params(const ir::Quantized& pair, const ChannelLayout& layout,
                                         const std::vector<double>& gain) {
  QuantParams params = pair.params;
  if (pair.quantize == kNone || params.per_tensor() || layout.groups > 1 || !params.zero_point.empty() ||
      params.axis != static_cast<int64_t>(layout.axis) || params.scale.size() != gain.size()) {
    return std::nullopt;
  }
  for (size_t k = 0; k < gain.size(); ++k) {
    const double scale = params.scale[k] * std::fabs(gain[k]);
    if (gain[k] == 0) continue;  // the weights become zero: any scale does
    if (scale < std::numeric_limits<float>::min() || !std::isfinite(static_cast<float>(scale)))
      return std::nullopt;
    params.scale[k] = static_cast<float>(scale);
  }
  return params;
}

bool fold(Graph& graph, NodeId norm_id) {
  const Node& norm = graph.node(norm_id);
  const ValueId before = norm.inputs[0];
  const NodeId layer_id = graph.value(before).producer;
  if (layer_id == kNone || graph.use_count(before) != 1) return false;
  for (size_t i = 1; i < norm.outputs.size(); ++i) {
    if (norm.outputs[i] != kNone && graph.use_count(norm.outputs[i]) > 0) return false;
  }
  const Node& layer = graph.node(layer_id);
  const std::optional<ChannelLayout> layout = layout_of(layer);
  const std::optional<Affine> affine = affine_of(graph, norm);
  if (!layout || !affine) return false;
  const auto pair = ir::quantized_behind(graph, layer.inputs[1]);
  const ValueId weight_id = pair ? pair->source : layer.inputs[1];
  const Tensor* weight = graph.constant(weight_id);
  const size_t channels = affine->gain.size();
  if (weight == nullptr || !is_float(weight->dtype()) || weight->rank() <= layout->axis ||
      weight->size() == 0 || weight->dim(0) % layout->groups != 0 ||
      channels_of(*weight, *layout) != static_cast<int64_t>(channels)) {
    return false;
  }
  auto bias = bias_of(graph, layer, channels, layer.op == "Gemm" ? layer.attributes.real("beta", 1.0f) : 1.0);
  if (!bias) return false;
  std::optional<QuantParams> params;
  if (pair && !(params = scaled_params(*pair, *layout, affine->gain))) return false;

  Tensor folded_bias(DType::Float32, {static_cast<int64_t>(channels)});
  for (size_t k = 0; k < channels; ++k) {
    folded_bias.mutable_data<float>()[k] =
        static_cast<float>(affine->gain[k] * (*bias)[k] + affine->offset[k]);
  }
  const std::string name = graph.value(weight_id).name;
  const bool had_bias = layer.inputs.size() > 2 && layer.inputs[2] != kNone;
  const std::string bias_name = had_bias ? graph.value(layer.inputs[2]).name : layer.name + "/bias";
  const DType dtype = weight->dtype();
  ValueId new_weight = graph.add_constant(name, scaled(*weight, *layout, affine->gain));
  const ValueId constant = new_weight;
  const ValueId new_bias = graph.add_constant(bias_name, folded_bias.cast(dtype));
  if (pair) new_weight = ir::add_pair(graph, new_weight, *params).result;
  graph.set_inputs(layer_id, {layer.inputs[0], new_weight, new_bias});
  if (layer.op == "Gemm") graph.attributes(layer_id).erase("beta");
  std::vector<std::string>& sources = graph.sources(layer_id);
  sources.insert(sources.end(), norm.sources.begin(), norm.sources.end());

  const ValueId after = norm.outputs[0];
  const std::string result = graph.value(after).name;
  const std::vector<std::string> dim_names = graph.value(after).dim_names;
  graph.replace_uses(after, before);
  graph.erase_node(norm_id);
  graph.erase_dead();
  graph.rename_value(before, result);
  graph.set_dim_names(before, dim_names);
  graph.rename_value(constant, name);  // free now, unless the old weight has other readers
  graph.rename_value(new_bias, bias_name);
  return true;
}

}  // namespace

size_t fold_batch_norm(Graph& graph, const std::set<std::string>& keep) {
  size_t folded = 0;
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.erased || node.op != "BatchNormalization" || keep.contains(node.name)) continue;
    if (fold(graph, id)) ++folded;
  }
  return folded;
}

void adjust_fold_batch_norm(AdjustJob& job) {
  const int64_t folded = fold_batch_norm(job.graph, job.options.keep_norms);
  job.changed = folded > 0;
  job.remark = fmt::format("{} batch norms", folded);
}

}  // namespace kvant::quant
