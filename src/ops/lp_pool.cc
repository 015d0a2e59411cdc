// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_lp_pool(const ir::InferArgs& args) {
  require_dtype("LpPool", DTypes::Floats, args.inputs[0].dtype);
  require_at_least("p", args.attributes().integer("p", 2), 1);
  return {{args.inputs[0].dtype, pool_shape("LpPool", args.attributes(), args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_lp_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Pool pool = plan_pool("LpPool", args.attributes(), x.shape());
  const auto p = static_cast<double>(args.attributes().integer("p", 2));
  const auto y = pool_with(pool, to_doubles(x), [p](const PoolWindow& window, auto element) {
    double sum = 0;
    for (const int64_t offset : window.offsets) sum += std::pow(std::abs(element(offset)), p);
    return std::pow(sum, 1.0 / p);
  });
  return {from_doubles(x.dtype(), pool.output, y)};
}

std::vector<ir::AttributeDef> attributes_lp_pool() {
  auto result = pool_attributes();
  result.push_back({"p", ir::AttributeKind::Integer});
  return result;
}

}  // namespace

ir::OpDef lp_pool() {
  return {.name = "LpPool",
          .attributes = attributes_lp_pool(),
          .infer = infer_lp_pool,
          .evaluate = evaluate_lp_pool};
}

}  // namespace kvant::ops
