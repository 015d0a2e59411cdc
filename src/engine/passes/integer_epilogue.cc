// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/integer_epilogue.h"

#include <algorithm>

#include "ir/qdq.h"

namespace kvant::engine {
namespace {

void add_residual(const ir::Graph& graph, const Epilogue& epilogue, double unit, IntegerEpilogue& result) {
  if (epilogue.residual == ir::kNone) return;
  const auto codes = dequantized(graph, epilogue.residual);
  result.residual = codes ? codes->codes : epilogue.residual;
  const double scale = codes ? codes->scale() : 1.0;
  result.attributes.set("residual_multiplier", static_cast<float>(scale / unit));
  result.attributes.set("residual_zero_point", static_cast<int64_t>(codes ? codes->zero_point() : 0));
}

}  // namespace

IntRange clamped_range(const QuantParams& params, const std::vector<Bounds>& clamps) {
  const IntRange whole = code_range(params.dtype);
  IntRange range = whole;
  for (const Bounds& clamp : clamps) {
    const int32_t low = quantize_value(clamp.low, params.scale[0], params.zero_point_at(0), whole);
    const int32_t high = quantize_value(clamp.high, params.scale[0], params.zero_point_at(0), whole);
    range = {std::clamp(range.low, low, high), std::clamp(range.high, low, high)};
  }
  return range;
}

void set_code_output(ir::Attributes& attributes, const QuantParams& params, const IntRange& range) {
  attributes.set("output", std::string(name(params.dtype)));
  attributes.set("y_zero_point", static_cast<int64_t>(params.zero_point_at(0)));
  attributes.set("low", static_cast<int64_t>(range.low));
  attributes.set("high", static_cast<int64_t>(range.high));
}

IntegerEpilogue integer_epilogue(const ir::Graph& graph, const Epilogue& epilogue, double x_scale,
                                 const std::vector<float>& w_scale, const std::vector<double>& bias) {
  IntegerEpilogue result;
  const bool integer = epilogue.quantize != ir::kNone;
  // Without an activation the accumulator is carried in units of the output's scale.
  const double unit = integer && !epilogue.activation ? static_cast<double>(epilogue.output.scale[0]) : 1.0;
  const size_t channels = epilogue.gain.size();
  for (size_t k = 0; k < channels; ++k) {
    const double scale = x_scale * w_scale[w_scale.size() == 1 ? 0 : k];
    const double b = bias.empty() ? 0.0 : bias[k];
    result.multiplier.push_back(static_cast<float>(scale * epilogue.gain[k] / unit));
    result.bias.push_back(static_cast<float>((b * epilogue.gain[k] + epilogue.offset[k]) / unit));
  }
  add_residual(graph, epilogue, unit, result);
  if (epilogue.activation) {
    result.attributes.set("activation", epilogue.activation->name);
    result.attributes.set("alpha", epilogue.activation->alpha);
    result.attributes.set("beta", epilogue.activation->beta);
    if (integer) result.attributes.set("inverse_scale", 1.0f / epilogue.output.scale[0]);
  }
  if (integer) {
    set_code_output(result.attributes, epilogue.output, clamped_range(epilogue.output, epilogue.clamps));
  } else {
    result.attributes.set("output", std::string("f32"));
  }
  return result;
}

std::optional<QuantizedWeight> quantized_weight(const ir::Graph& graph, ir::ValueId id, size_t axis,
                                                std::string& why) {
  const ir::Node* node = graph.producer(id);
  const bool has_codes = node != nullptr && ir::is_dequantize(*node) && graph.is_constant(node->inputs[0]);
  auto params = has_codes ? ir::params_of(graph, graph.value(id).producer) : std::nullopt;
  if (!params) {
    why = "its weight is not quantized";
    return std::nullopt;
  }
  if (params->dtype != DType::Int8) {
    why = "its weight holds " + std::string(name(params->dtype)) + " codes that do not fit i8 around 0";
    return std::nullopt;
  }
  for (size_t k = 0; k < params->scale.size(); ++k) {
    if (params->zero_point_at(k) == 0) continue;
    why = "its weight's zero points do not fit i8 codes around 0";
    return std::nullopt;
  }
  if (!params->per_tensor() && params->axis != static_cast<int64_t>(axis)) {
    why = "its weight is scaled along axis " + std::to_string(params->axis) + ", which is summed over";
    return std::nullopt;
  }
  return QuantizedWeight{graph.constant(node->inputs[0]), std::move(*params)};
}

}  // namespace kvant::engine
