// SPDX-License-Identifier: Apache-2.0
#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_global_average_pool(const ir::InferArgs& args) {
  require_dtype("GlobalAveragePool", DTypes::Floats, args.inputs[0].dtype);
  return {{args.inputs[0].dtype, global_pool_shape("GlobalAveragePool", args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_global_average_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Shape shape = *global_pool_shape("GlobalAveragePool", x.shape());
  const int64_t planes = x.dim(0) * x.dim(1), plane = planes == 0 ? 0 : x.size() / planes;
  std::vector<double> y = plane_sums(to_doubles(x), planes, plane, 1);
  for (double& value : y) value /= static_cast<double>(plane);
  return {from_doubles(x.dtype(), shape, y)};
}

}  // namespace

ir::OpDef global_average_pool() {
  return {.name = "GlobalAveragePool",
          .infer = infer_global_average_pool,
          .evaluate = evaluate_global_average_pool};
}

}  // namespace kvant::ops
