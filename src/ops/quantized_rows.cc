// SPDX-License-Identifier: Apache-2.0
#include "ops/quantized_rows.h"

#include "ops/epilogue.h"

namespace kvant::ops {

std::vector<ir::AttributeDef> quantized_result_attributes() {
  auto result = code_output_attributes();
  result.push_back({"y_scale", ir::AttributeKind::Real, true});
  return result;
}

ir::Type quantized_result_type(const ir::InferArgs& args) {
  if (args.inputs[0].dtype != DType::Float32)
    fail("{}: x holds {}; f32 is needed", args.node.op, name(args.inputs[0].dtype));
  if (!(args.attributes().real("y_scale", 0.0f) > 0))
    fail("{}: y_scale is {}; it must be above 0", args.node.op, args.attributes().real("y_scale", 0.0f));
  return {parse_code_output(args.attributes()).dtype, args.inputs[0].shape};
}

Tensor quantized_result(const ir::EvalArgs& args, const Tensor& x) {
  const CodeOutput output = parse_code_output(args.attributes());
  const float scale = args.attributes().real("y_scale", 1.0f);
  Tensor codes(DType::Int32, x.shape());
  const auto from = x.data<float>();
  const auto to = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < to.size(); ++i) to[i] = output.code(from[i] / scale);
  return codes.cast(output.dtype);
}

}  // namespace kvant::ops
