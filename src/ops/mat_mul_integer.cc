// SPDX-License-Identifier: Apache-2.0
#include "ops/batched_product.h"
#include "ops/integer_operands.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_mat_mul_integer(const ir::InferArgs& args) {
  require_code_type("MatMulInteger", "a", args.inputs[0].dtype);
  require_code_type("MatMulInteger", "b", args.inputs[1].dtype);
  return {{DType::Int32, matmul_shape("MatMulInteger", args.inputs[0].shape, args.inputs[1].shape)}};
}

std::vector<Tensor> evaluate_mat_mul_integer(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  const auto centred_a = centred_rows(args, a, 2, "a_zero_point");
  const auto centred_b = centred_columns(args, b, 3, "b_zero_point");
  const MatmulResult acc = matmul("MatMulInteger", a.shape(), centred_a, b.shape(), centred_b);
  return {from_doubles(DType::Int32, acc.shape, acc.values)};
}

}  // namespace

ir::OpDef mat_mul_integer() {
  return {.name = "MatMulInteger",
          .min_inputs = 2,
          .max_inputs = 4,
          .infer = infer_mat_mul_integer,
          .evaluate = evaluate_mat_mul_integer};
}

}  // namespace kvant::ops
