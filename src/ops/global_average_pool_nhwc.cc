// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_global_average_pool_nhwc(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("GlobalAveragePoolNhwc", DTypes::Floats, x.dtype);
  require_nhwc("GlobalAveragePoolNhwc", x.shape);
  if (!x.shape) return {x};
  return {{x.dtype, Shape{(*x.shape)[0], 1, 1, (*x.shape)[3]}}};
}

std::vector<Tensor> evaluate_global_average_pool_nhwc(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_nhwc("GlobalAveragePoolNhwc", x.shape());
  const int64_t plane = x.dim(1) * x.dim(2);
  std::vector<double> y = plane_sums(to_doubles(x), x.dim(0), plane, x.dim(3));
  for (double& value : y) value /= static_cast<double>(plane);
  return {from_doubles(x.dtype(), {x.dim(0), 1, 1, x.dim(3)}, y)};
}

}  // namespace

ir::OpDef global_average_pool_nhwc() {
  return {.name = "GlobalAveragePoolNhwc",
          .traits = ir::Trait::Internal,
          .infer = infer_global_average_pool_nhwc,
          .evaluate = evaluate_global_average_pool_nhwc};
}

}  // namespace kvant::ops
