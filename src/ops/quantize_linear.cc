// SPDX-License-Identifier: Apache-2.0
#include "ops/onnx_dtype.h"
#include "ops/scale_inputs.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// The codes' type: the zero point's, else output_dtype's, else u8.
DType code_type(const ir::Node& node, std::optional<DType> zero_point) {
  // ONNX writes output_dtype = 0 (undefined) for "not given".
  const bool given = node.attributes.integer("output_dtype", 0) != 0;
  const DType wanted =
      given ? dtype_attribute(node, "output_dtype", DType::UInt8) : zero_point.value_or(DType::UInt8);
  if (zero_point && *zero_point != wanted)
    fail("QuantizeLinear: output_dtype is {} but the zero point holds {}", name(wanted), name(*zero_point));
  require_quantized_type(node, wanted);
  return wanted;
}

void require_source(DType dtype) {
  if (dtype != DType::Float32 && dtype != DType::Float16 && dtype != DType::BFloat16 && dtype != DType::Int32)
    fail("QuantizeLinear: the input holds {}; f32, f16, bf16 or i32 is needed", name(dtype));
}

std::vector<Type> infer_quantize_linear(const ir::InferArgs& args) {
  require_source(args.inputs[0].dtype);
  require_dtype("QuantizeLinear", DTypes::Floats, args.inputs[1].dtype);
  check_scale_shape(args.node, args.inputs[0].shape, args.inputs[1].shape);
  const auto zero_point = args.has(2) ? std::optional(args.inputs[2].dtype) : std::nullopt;
  return {{code_type(args.node, zero_point), args.inputs[0].shape}};
}

Tensor quantize_blocks(const ir::EvalArgs& args, DType dtype) {
  const BlockedParams params = blocked_params(args);
  const std::vector<float> x = args.in(0).to_floats();
  Tensor codes(DType::Int32, args.in(0).shape());
  const auto out = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t s = params.index(static_cast<int64_t>(i));
    out[i] = quantize_value(x[i], params.scale[s], params.zero_point[s], code_range(dtype));
  }
  return codes.cast(dtype);
}

std::vector<Tensor> evaluate_quantize_linear(const ir::EvalArgs& args) {
  require_source(args.in(0).dtype());
  const auto zero_point = args.has(2) ? std::optional(args.in(2).dtype()) : std::nullopt;
  const DType dtype = code_type(args.node, zero_point);
  if (const auto params = unblocked_params(args, dtype)) return {quantize(args.in(0), *params)};
  return {quantize_blocks(args, dtype)};
}

}  // namespace

ir::OpDef quantize_linear() {
  using ir::AttributeKind;
  return {.name = "QuantizeLinear",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = {{"axis", AttributeKind::Integer},
                         {"block_size", AttributeKind::Integer},
                         {"output_dtype", AttributeKind::Integer},
                         {"precision", AttributeKind::Integer},
                         {"saturate", AttributeKind::Integer}},
          .infer = infer_quantize_linear,
          .evaluate = evaluate_quantize_linear};
}

}  // namespace kvant::ops
