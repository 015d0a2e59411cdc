// SPDX-License-Identifier: Apache-2.0
#include "ops/onnx_dtype.h"
#include "ops/scale_inputs.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// output_dtype's, else the scale's type; ONNX writes 0 (undefined) for "not given".
DType result_type(const ir::Node& node, DType scale) {
  const bool given = node.attributes.integer("output_dtype", 0) != 0;
  const DType dtype = given ? dtype_attribute(node, "output_dtype", scale) : scale;
  require_dtype("DequantizeLinear", DTypes::Floats, dtype);
  return dtype;
}

std::vector<Type> infer_dequantize_linear(const ir::InferArgs& args) {
  require_quantized_type(args.node, args.inputs[0].dtype);
  require_dtype("DequantizeLinear", DTypes::Floats, args.inputs[1].dtype);
  check_scale_shape(args.node, args.inputs[0].shape, args.inputs[1].shape);
  if (args.has(2)) require_same_dtype("DequantizeLinear", args.inputs[0].dtype, args.inputs[2].dtype);
  return {{result_type(args.node, args.inputs[1].dtype), args.inputs[0].shape}};
}

Tensor dequantize_blocks(const ir::EvalArgs& args) {
  const BlockedParams params = blocked_params(args);
  const std::vector<int64_t> codes = args.in(0).to_ints();
  Tensor result(DType::Float32, args.in(0).shape());
  const auto out = result.mutable_data<float>();
  for (size_t i = 0; i < codes.size(); ++i) {
    const size_t s = params.index(static_cast<int64_t>(i));
    out[i] = dequantize_value(static_cast<int32_t>(codes[i]), params.scale[s], params.zero_point[s]);
  }
  return result;
}

std::vector<Tensor> evaluate_dequantize_linear(const ir::EvalArgs& args) {
  require_quantized_type(args.node, args.in(0).dtype());
  const DType dtype = result_type(args.node, args.in(1).dtype());
  if (const auto params = unblocked_params(args, args.in(0).dtype()))
    return {dequantize(args.in(0), *params).cast(dtype)};
  return {dequantize_blocks(args).cast(dtype)};
}

}  // namespace

ir::OpDef dequantize_linear() {
  using ir::AttributeKind;
  return {.name = "DequantizeLinear",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = {{"axis", AttributeKind::Integer},
                         {"block_size", AttributeKind::Integer},
                         {"output_dtype", AttributeKind::Integer}},
          .infer = infer_dequantize_linear,
          .evaluate = evaluate_dequantize_linear};
}

}  // namespace kvant::ops
