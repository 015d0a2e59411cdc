// SPDX-License-Identifier: Apache-2.0
#include "ops/epilogue.h"
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

void check_affine_channels(std::string_view what, const std::optional<Shape>& x,
                           const std::optional<Shape>& values) {
  if (!x || !values) return;
  const int64_t channels = x->empty() ? 1 : x->back();
  if (channels == kUnknownDim || *values == Shape{channels}) return;
  fail("QChannelAffine: {} is {}; one value for each of {} channels is needed", what, to_string(*values),
       channels);
}

std::vector<ir::Type> infer_channel_affine(const ir::InferArgs& args) {
  const ir::Type& x = args.inputs[0];
  require_code_type("QChannelAffine", "x", x.dtype);
  for (const size_t i : {size_t{1}, size_t{2}}) {
    const std::string_view what = i == 1 ? "multiplier" : "bias";
    if (args.inputs[i].dtype != DType::Float32)
      fail("QChannelAffine: {} holds {}; f32 is needed", what, name(args.inputs[i].dtype));
    check_affine_channels(what, x.shape, args.inputs[i].shape);
  }
  for (const char* scale : {"x_scale", "y_scale"}) {
    if (!(args.attributes().real(scale, 0.0f) > 0))
      fail("QChannelAffine: {} is {}; it must be above 0", scale, args.attributes().real(scale, 0.0f));
  }
  parse_activation(args.attributes());
  return {{parse_code_output(args.attributes()).dtype, x.shape}};
}

std::vector<Tensor> evaluate_channel_affine(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  check_affine_channels("multiplier", x.shape(), args.in(1).shape());
  check_affine_channels("bias", x.shape(), args.in(2).shape());
  const ir::Attributes& attributes = args.attributes();
  const CodeOutput output = parse_code_output(attributes);
  const FusedActivation activation = parse_activation(attributes);
  const float x_scale = attributes.real("x_scale", 1.0f), y_scale = attributes.real("y_scale", 1.0f);
  const int64_t zero_point = zero_point_attribute(attributes, "x_zero_point");
  const std::vector<int64_t> from = x.to_ints();
  const auto multiplier = args.in(1).data<float>(), bias = args.in(2).data<float>();
  Tensor codes(DType::Int32, x.shape());
  const auto to = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < to.size(); ++i) {
    const size_t c = i % multiplier.size();
    float v = static_cast<float>(from[i] - zero_point) * x_scale;
    v = v * multiplier[c];
    v = v + bias[c];
    to[i] = output.code(activation(v) / y_scale);
  }
  return {codes.cast(output.dtype)};
}

std::vector<ir::AttributeDef> channel_affine_attributes() {
  using ir::AttributeKind;
  auto result = code_output_attributes();
  for (const ir::AttributeDef& attribute : activation_attributes()) result.push_back(attribute);
  result.insert(result.end(), {{"x_scale", AttributeKind::Real, true},
                               {"y_scale", AttributeKind::Real, true},
                               {"x_zero_point", AttributeKind::Integer}});
  return result;
}

}  // namespace

// Q(activation(DQ(x) * multiplier + bias)), by channel; channels are the last axis.
ir::OpDef q_channel_affine() {
  return {.name = "QChannelAffine",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = channel_affine_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_channel_affine,
          .evaluate = evaluate_channel_affine};
}

}  // namespace kvant::ops
