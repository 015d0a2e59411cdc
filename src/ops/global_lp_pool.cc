// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_global_lp_pool(const ir::InferArgs& args) {
  require_dtype("GlobalLpPool", DTypes::Floats, args.inputs[0].dtype);
  return {{args.inputs[0].dtype, global_pool_shape("GlobalLpPool", args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_global_lp_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Shape shape = *global_pool_shape("GlobalLpPool", x.shape());
  const int64_t planes = x.dim(0) * x.dim(1), plane = planes == 0 ? 0 : x.size() / planes;
  const int64_t order = args.attributes().integer("p", 2);
  require_at_least("p", order, 1);
  const auto p = static_cast<double>(order);
  std::vector<double> values = to_doubles(x);
  for (double& value : values) value = std::pow(std::abs(value), p);
  std::vector<double> y = plane_sums(values, planes, plane, 1);
  for (double& value : y) value = std::pow(value, 1.0 / p);
  return {from_doubles(x.dtype(), shape, y)};
}

}  // namespace

ir::OpDef global_lp_pool() {
  return {.name = "GlobalLpPool",
          .attributes = {{"p", ir::AttributeKind::Integer}},
          .infer = infer_global_lp_pool,
          .evaluate = evaluate_global_lp_pool};
}

}  // namespace kvant::ops
