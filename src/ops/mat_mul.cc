// SPDX-License-Identifier: Apache-2.0
#include "ops/batched_product.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_mat_mul(const ir::InferArgs& args) {
  require_dtype("MatMul", DTypes::Numbers, args.inputs[0].dtype);
  require_same_dtype("MatMul", args.inputs[0].dtype, args.inputs[1].dtype);
  return {{args.inputs[0].dtype, matmul_shape("MatMul", args.inputs[0].shape, args.inputs[1].shape)}};
}

std::vector<Tensor> evaluate_mat_mul(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  require_same_dtype("MatMul", a.dtype(), b.dtype());
  const MatmulResult y = matmul("MatMul", a.shape(), to_doubles(a), b.shape(), to_doubles(b));
  if (is_float(a.dtype())) return {from_doubles(a.dtype(), y.shape, y.values)};
  return {from_doubles(DType::Float64, y.shape, y.values).cast(a.dtype())};
}

}  // namespace

ir::OpDef mat_mul() {
  return {.name = "MatMul",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Weighted,
          .infer = infer_mat_mul,
          .evaluate = evaluate_mat_mul};
}

}  // namespace kvant::ops
