// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"

#include <limits>

#include "ops/integer_operands.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

constexpr size_t kTable = 5;

int32_t int32_attribute(const ir::Attributes& attributes, std::string_view name, int64_t fallback) {
  const int64_t value = attributes.integer(name, fallback);
  if (value < std::numeric_limits<int32_t>::min() || value > std::numeric_limits<int32_t>::max())
    fail("{} is {}; it must fit 32 bits", name, value);
  return static_cast<int32_t>(value);
}

DType output_type(const ir::Attributes& attributes) {
  const std::string text = attributes.text("output", "");
  if (text == "u8") return DType::UInt8;
  if (text == "i8") return DType::Int8;
  if (text == "f32") return DType::Float32;
  fail("output is '{}'; it must be u8, i8 or f32", text);
}

IntRange output_range(const ir::Attributes& attributes, DType dtype) {
  const IntRange whole = code_range(dtype);
  const IntRange range{int32_attribute(attributes, "low", whole.low),
                       int32_attribute(attributes, "high", whole.high)};
  if (range.low < whole.low || range.high > whole.high || range.low > range.high)
    fail("codes are clamped to [{}, {}]; that is not a range of {}", range.low, range.high, name(dtype));
  return range;
}

FusedActivation with_defaults(Activation kind) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  switch (kind) {
    case Activation::Clip:
      return {kind, -kInfinity, kInfinity};
    case Activation::LeakyRelu:
      return {kind, 0.01f, 0.0f};
    case Activation::Elu:
      return {kind, 1.0f, 0.0f};
    case Activation::HardSigmoid:
      return {kind, 0.2f, 0.5f};
    default:
      return {kind, 0.0f, 0.0f};
  }
}

// Residual elements as what is multiplied: codes minus zero point, or floats.
std::vector<float> residual_terms(const Epilogue& epilogue, const Tensor& residual) {
  if (residual.dtype() == DType::Float32) return residual.to_floats();
  std::vector<float> terms;
  terms.reserve(static_cast<size_t>(residual.size()));
  for (const int64_t code : residual.to_ints())
    terms.push_back(static_cast<float>(code - epilogue.residual_zero_point));
  return terms;
}

void require_channels(std::string_view what, const Tensor& tensor, int64_t channels) {
  if (tensor.dtype() != DType::Float32 || tensor.shape() != Shape{channels})
    fail("{} is {} of shape {}; f32 of shape {} is needed", what, name(tensor.dtype()),
         to_string(tensor.shape()), channels);
}

}  // namespace

int32_t zero_point_attribute(const ir::Attributes& attributes, std::string_view name) {
  return int32_attribute(attributes, name, 0);
}

FusedActivation parse_activation(const ir::Attributes& attributes) {
  const std::string text = attributes.text("activation", "");
  const auto kind = activation_named(text);
  if (!kind) fail("activation '{}' is unknown", text);
  FusedActivation result = with_defaults(*kind);
  result.alpha = attributes.real("alpha", result.alpha);
  result.beta = attributes.real("beta", result.beta);
  return result;
}

Epilogue parse_epilogue(const ir::Attributes& attributes) {
  Epilogue result;
  result.output = output_type(attributes);
  result.activation = parse_activation(attributes);
  result.residual_multiplier = attributes.real("residual_multiplier", 1.0f);
  result.residual_zero_point = zero_point_attribute(attributes, "residual_zero_point");
  if (!result.integer_output()) return result;
  result.y_zero_point = zero_point_attribute(attributes, "y_zero_point");
  result.range = output_range(attributes, result.output);
  const bool needs_scale = result.activation.kind != Activation::None;
  if (needs_scale != attributes.has("inverse_scale"))
    fail("inverse_scale must be present exactly when the output is integer and there is an activation");
  result.inverse_scale = attributes.real("inverse_scale", 1.0f);
  return result;
}

CodeOutput parse_code_output(const ir::Attributes& attributes) {
  const DType dtype = output_type(attributes);
  if (dtype == DType::Float32) fail("output is 'f32'; it must be u8 or i8");
  return {dtype, zero_point_attribute(attributes, "y_zero_point"), output_range(attributes, dtype)};
}

Tensor apply_epilogue(const Epilogue& epilogue, Shape shape, std::span<const double> acc,
                      const Tensor& multiplier, const Tensor& bias, const Tensor* residual) {
  const int64_t channels = shape.back();
  require_channels("multiplier", multiplier, channels);
  require_channels("bias", bias, channels);
  if (residual != nullptr && residual->shape() != shape)
    fail("the residual is {}; the result is {}", to_string(residual->shape()), to_string(shape));
  const std::vector<float> terms =
      residual != nullptr ? residual_terms(epilogue, *residual) : std::vector<float>{};
  const auto m = multiplier.data<float>(), b = bias.data<float>();
  Tensor values(DType::Float32, shape), codes(DType::Int32, epilogue.integer_output() ? shape : Shape{0});
  const auto value_out = values.mutable_data<float>();
  const auto code_out = codes.mutable_data<int32_t>();
  size_t channel = 0;
  for (size_t i = 0; i < acc.size(); ++i) {
    const auto total = static_cast<int32_t>(static_cast<int64_t>(acc[i]));
    float v = scaled(total, m[channel], b[channel]);
    if (!terms.empty()) v = with_residual(epilogue, v, terms[i]);
    if (epilogue.integer_output())
      code_out[i] = code_of(epilogue, v);
    else
      value_out[i] = epilogue.activation(v);
    if (++channel == m.size()) channel = 0;
  }
  return epilogue.integer_output() ? codes.cast(epilogue.output) : values;
}

DType epilogue_type(std::string_view op, const Epilogue& epilogue, const ir::InferArgs& args) {
  if (!args.has(kTable)) return epilogue.output;
  if (!epilogue.integer_output()) fail("{}: a table takes codes; output is 'f32'", op);
  require_table(op, args.inputs[kTable].dtype, args.inputs[kTable].shape, false);
  return args.inputs[kTable].dtype;
}

Tensor through_table(std::string_view op, const ir::EvalArgs& args, Tensor codes) {
  if (!args.has(kTable)) return codes;
  const Tensor& table = args.in(kTable);
  require_code_type(op, "the result before the table", codes.dtype());
  require_table(op, table.dtype(), table.shape(), false);
  return look_up(codes, table);
}

Tensor finish_float(std::string_view op, const ir::EvalArgs& args, const Shape& shape,
                    std::vector<double>& y) {
  const auto channels = static_cast<size_t>(shape.back());
  if (args.has(2)) {
    require_channels(fmt::format("{}: bias", op), args.in(2), shape.back());
    const auto bias = args.in(2).data<float>();
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i % channels];
  }
  if (args.has(3)) {
    if (args.in(3).shape() != shape || args.in(3).dtype() != DType::Float32)
      fail("{}: the residual is {} of shape {}; the result is {}", op, name(args.in(3).dtype()),
           to_string(args.in(3).shape()), to_string(shape));
    const auto residual = args.in(3).data<float>();
    for (size_t i = 0; i < y.size(); ++i) y[i] += residual[i];
  }
  Tensor result = from_doubles(DType::Float32, shape, y);
  const FusedActivation fused = parse_activation(args.attributes());
  if (fused.kind == Activation::None) return result;
  const auto out = result.mutable_data<float>();
  activate(fused.kind, out, out, fused.alpha, fused.beta);
  return result;
}

std::vector<ir::AttributeDef> activation_attributes() {
  using ir::AttributeKind;
  return {{"activation", AttributeKind::Text}, {"alpha", AttributeKind::Real}, {"beta", AttributeKind::Real}};
}

std::vector<ir::AttributeDef> code_output_attributes() {
  using ir::AttributeKind;
  return {{"output", AttributeKind::Text, true},
          {"y_zero_point", AttributeKind::Integer},
          {"low", AttributeKind::Integer},
          {"high", AttributeKind::Integer}};
}

std::vector<ir::AttributeDef> epilogue_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  result.insert(result.end(), {{"activation", AttributeKind::Text},
                               {"alpha", AttributeKind::Real},
                               {"beta", AttributeKind::Real},
                               {"inverse_scale", AttributeKind::Real},
                               {"residual_multiplier", AttributeKind::Real},
                               {"residual_zero_point", AttributeKind::Integer},
                               {"x_zero_point", AttributeKind::Integer},
                               {"x_low", AttributeKind::Integer}});
  return result;
}

}  // namespace kvant::ops
