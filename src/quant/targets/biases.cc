// SPDX-License-Identifier: Apache-2.0
#include "quant/targets/biases.h"

#include <cmath>
#include <limits>
#include <optional>

#include "ir/qdq.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;
using ir::ValueId;

bool takes_integer_bias(const Graph& graph, const Node& node) {
  if (node.op != "Conv" && node.op != "ConvTranspose" && node.op != "Gemm") return false;
  if (node.op == "Gemm" &&
      (node.attributes.real("alpha", 1.0f) != 1.0f || node.attributes.real("beta", 1.0f) != 1.0f)) {
    return false;
  }
  if (node.inputs.size() < 3 || node.inputs[2] == kNone) return false;
  const Tensor* bias = graph.constant(node.inputs[2]);
  return bias != nullptr && bias->dtype() == DType::Float32 && bias->rank() == 1 && bias->size() > 0;
}

// Scales of the accumulator: one, or one for each of the bias's `channels`.
std::optional<std::vector<float>> accumulator_scales(const Graph& graph, const Node& node, int64_t channels) {
  const auto x = ir::quantized_behind(graph, node.inputs[0]);
  const auto w = ir::quantized_behind(graph, node.inputs[1]);
  if (!x || !w || !x->params.per_tensor()) return std::nullopt;
  if (!w->params.per_tensor() && static_cast<int64_t>(w->params.scale.size()) != channels)
    return std::nullopt;
  std::vector<float> scales;
  for (const float s : w->params.scale) scales.push_back(x->params.scale[0] * s);
  return scales;
}

// Codes of `bias`, or nothing and why.
std::optional<std::vector<int32_t>> bias_codes(const Tensor& bias, const std::vector<float>& scales,
                                               std::string& why) {
  std::vector<int32_t> codes;
  const auto values = bias.data<float>();
  for (size_t k = 0; k < values.size(); ++k) {
    const float scale = scales[scales.size() == 1 ? 0 : k];
    if (!(scale >= std::numeric_limits<float>::min()) || !std::isfinite(scale)) {
      why = fmt::format("the int32 bias of channel {} would have the scale {}", k, scale);
      return std::nullopt;
    }
    const double code = static_cast<double>(values[k]) / static_cast<double>(scale);
    if (!(std::fabs(code) <= static_cast<double>(std::numeric_limits<int32_t>::max()) - 0.5)) {
      why = fmt::format("its bias {} does not fit int32 at the scale {} (channel {})", values[k], scale, k);
      return std::nullopt;
    }
    codes.push_back(static_cast<int32_t>(std::nearbyint(code)));
  }
  return codes;
}

void replace_bias(Graph& graph, NodeId id, std::vector<int32_t> codes, const std::vector<float>& scales) {
  const ValueId old = graph.node(id).inputs[2];
  const std::string name = graph.value(old).name;
  const bool per_tensor = scales.size() == 1;
  graph.rename_value(old, name + "_float");
  const ValueId code = graph.add_constant(name + "_quantized", Tensor::vector<int32_t>(codes));
  const ValueId scale = graph.add_constant(
      name + "_scale", per_tensor ? Tensor::scalar(scales[0]) : Tensor::vector<float>(scales));
  const ValueId zero = graph.add_constant(
      name + "_zero_point",
      Tensor(DType::Int32, per_tensor ? Shape{} : Shape{static_cast<int64_t>(scales.size())}));
  ir::Attributes attributes;
  if (!per_tensor) attributes.set("axis", int64_t{0});
  const NodeId dequantize =
      graph.add_node("DequantizeLinear", name + "_DequantizeLinear", {code, scale, zero}, {name}, attributes);
  const ValueId result = graph.node(dequantize).outputs[0];
  graph.set_type(result, {DType::Float32, Shape{static_cast<int64_t>(codes.size())}});
  graph.set_reason(dequantize, "bias of '" + graph.node(id).name + "' on the scale of its accumulator");
  graph.set_input(id, 2, result);
}

}  // namespace

void write_integer_biases(Graph& graph, TargetReport& report) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!takes_integer_bias(graph, node)) continue;
    const Tensor bias = *graph.constant(node.inputs[2]);
    const auto scales = accumulator_scales(graph, node, bias.size());
    if (!scales) continue;
    std::string why;
    const auto codes = bias_codes(bias, *scales, why);
    if (!codes) {
      report.left_float.push_back({node.name, why});
      continue;
    }
    replace_bias(graph, id, *codes, *scales);
    for (size_t k = 0; k < codes->size(); ++k) {
      const float back = static_cast<float>((*codes)[k]) * (*scales)[scales->size() == 1 ? 0 : k];
      if (back != bias.data<float>()[k]) report.exact = false;
    }
    ++report.biases;
  }
  graph.erase_dead();
}

void write_float_biases(Graph& graph, TargetReport& report) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (!ir::is_dequantize(node)) continue;
    const Tensor* codes = graph.constant(node.inputs[0]);
    const auto params = ir::params_of(graph, id);
    if (codes == nullptr || codes->dtype() != DType::Int32 || !params) continue;
    const ValueId result = node.outputs[0];
    const std::string name = graph.value(result).name;
    Tensor value = dequantize(*codes, *params).cast(graph.value(result).type.dtype);
    graph.rename_value(result, name + "_dequantized");
    graph.replace_uses(result, graph.add_constant(name, std::move(value)));
    ++report.biases;
  }
  graph.erase_dead();
}

}  // namespace kvant::quant
