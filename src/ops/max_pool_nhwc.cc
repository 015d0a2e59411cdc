// SPDX-License-Identifier: Apache-2.0
#include "ops/pooling.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_max_pool_nhwc(const ir::InferArgs& args) {
  return {{args.inputs[0].dtype, pool_shape_nhwc("MaxPoolNhwc", args.attributes(), args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_max_pool_nhwc(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Pool pool = plan_pool_nhwc("MaxPoolNhwc", args.attributes(), x.shape());
  return {pick(x, pool.output, largest_under(pool, to_doubles(x)))};
}

}  // namespace

ir::OpDef max_pool_nhwc() {
  return {.name = "MaxPoolNhwc",
          .attributes = pool_attributes(),
          .traits = ir::Trait::Internal | ir::Trait::Monotone,
          .infer = infer_max_pool_nhwc,
          .evaluate = evaluate_max_pool_nhwc};
}

}  // namespace kvant::ops
