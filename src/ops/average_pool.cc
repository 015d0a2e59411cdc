// SPDX-License-Identifier: Apache-2.0
#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_average_pool(const ir::InferArgs& args) {
  require_dtype("AveragePool", DTypes::Floats, args.inputs[0].dtype);
  return {{args.inputs[0].dtype, pool_shape("AveragePool", args.attributes(), args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_average_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Pool pool = plan_pool("AveragePool", args.attributes(), x.shape());
  const bool count_include_pad = args.attributes().integer("count_include_pad", 0) != 0;
  return {from_doubles(x.dtype(), pool.output, window_means(pool, to_doubles(x), count_include_pad))};
}

std::vector<ir::AttributeDef> attributes_average_pool() {
  auto result = pool_attributes();
  result.push_back({"count_include_pad", ir::AttributeKind::Integer});
  return result;
}

}  // namespace

ir::OpDef average_pool() {
  return {.name = "AveragePool",
          .attributes = attributes_average_pool(),
          .infer = infer_average_pool,
          .evaluate = evaluate_average_pool};
}

}  // namespace kvant::ops
