// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/epilogue.h"
#include "ops/integer_operands.h"
#include "ops/pooling.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_global_average_pool(const ir::InferArgs& args) {
  const ir::Type& x = args.inputs[0];
  require_code_type("QGlobalAveragePool", "x", x.dtype);
  require_nhwc("QGlobalAveragePool", x.shape);
  const DType dtype = parse_code_output(args.attributes()).dtype;
  if (!x.shape) return {{dtype, std::nullopt}};
  return {{dtype, Shape{(*x.shape)[0], 1, 1, (*x.shape)[3]}}};
}

std::vector<Tensor> evaluate_q_global_average_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_nhwc("QGlobalAveragePool", x.shape());
  const CodeOutput output = parse_code_output(args.attributes());
  const int64_t plane = x.dim(1) * x.dim(2);
  const float factor =
      args.attributes().real("multiplier", 1.0f) / static_cast<float>(std::max<int64_t>(plane, 1));
  const int32_t x_zero_point = zero_point_attribute(args.attributes(), "x_zero_point");
  std::vector<double> y = plane_sums(to_doubles(x, x_zero_point), x.dim(0), plane, x.dim(3));
  for (double& value : y) value = output.code(static_cast<float>(value) * factor);
  return {from_doubles(DType::Int32, {x.dim(0), 1, 1, x.dim(3)}, y).cast(output.dtype)};
}

std::vector<ir::AttributeDef> attributes_q_global_average_pool() {
  auto result = code_output_attributes();
  result.push_back({"multiplier", ir::AttributeKind::Real, true});
  result.push_back({"x_zero_point", ir::AttributeKind::Integer});
  return result;
}

}  // namespace

ir::OpDef q_global_average_pool() {
  return {.name = "QGlobalAveragePool",
          .attributes = attributes_q_global_average_pool(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_global_average_pool,
          .evaluate = evaluate_q_global_average_pool};
}

}  // namespace kvant::ops
