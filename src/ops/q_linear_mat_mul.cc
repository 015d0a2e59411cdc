// SPDX-License-Identifier: Apache-2.0
#include "ops/batched_product.h"
#include "ops/integer_operands.h"
#include "tensor/quantize.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_linear_mat_mul(const ir::InferArgs& args) {
  require_code_type("QLinearMatMul", "a", args.inputs[0].dtype);
  require_code_type("QLinearMatMul", "b", args.inputs[3].dtype);
  require_code_type("QLinearMatMul", "y_zero_point", args.inputs[7].dtype);
  return {{args.inputs[7].dtype, matmul_shape("QLinearMatMul", args.inputs[0].shape, args.inputs[3].shape)}};
}

std::vector<Tensor> evaluate_q_linear_mat_mul(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(3);
  const DType dtype = args.in(7).dtype();
  require_code_type("QLinearMatMul", "y_zero_point", dtype);
  const int64_t columns = b.rank() < 2 ? 1 : b.shape().back();
  const int64_t rows = a.rank() < 2 ? 1 : a.dim(a.rank() - 2);
  const auto a_scale = scales(args, 1, "a_scale", rows), b_scale = scales(args, 4, "b_scale", columns);
  const float y_scale = scales(args, 6, "y_scale")[0];
  if (args.in(7).size() != 1) fail("QLinearMatMul: y_zero_point must be one value");
  const auto y_zero_point = static_cast<int32_t>(args.in(7).to_ints()[0]);
  const MatmulResult acc = matmul("QLinearMatMul", a.shape(), centred_rows(args, a, 2, "a_zero_point"),
                                  b.shape(), centred_columns(args, b, 5, "b_zero_point"));
  Tensor codes(DType::Int32, acc.shape);
  const auto out = codes.mutable_data<int32_t>();
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t column = i % static_cast<size_t>(columns), row = i / static_cast<size_t>(columns);
    const double product =
        static_cast<double>(a_scale[row % a_scale.size()]) * b_scale[column % b_scale.size()];
    const auto total = static_cast<int32_t>(static_cast<int64_t>(acc.values[i]));
    out[i] = requantize(total, static_cast<float>(product / y_scale), 0.0f, y_zero_point, code_range(dtype));
  }
  return {codes.cast(dtype)};
}

}  // namespace

ir::OpDef q_linear_mat_mul() {
  return {.name = "QLinearMatMul",
          .min_inputs = 8,
          .max_inputs = 8,
          .infer = infer_q_linear_mat_mul,
          .evaluate = evaluate_q_linear_mat_mul};
}

}  // namespace kvant::ops
