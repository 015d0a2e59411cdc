// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/pooling.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_global_max_pool(const ir::InferArgs& args) {
  require_dtype("GlobalMaxPool", DTypes::Numbers, args.inputs[0].dtype);
  return {{args.inputs[0].dtype, global_pool_shape("GlobalMaxPool", args.inputs[0].shape)}};
}

std::vector<Tensor> evaluate_global_max_pool(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Shape shape = *global_pool_shape("GlobalMaxPool", x.shape());
  const int64_t planes = x.dim(0) * x.dim(1), plane = planes == 0 ? 0 : x.size() / planes;
  const std::vector<double> values = to_doubles(x);
  std::vector<int64_t> indices(static_cast<size_t>(planes), -1);
  for (int64_t p = 0; p < planes && plane > 0; ++p) {
    const auto first = values.begin() + p * plane;
    indices[static_cast<size_t>(p)] = std::max_element(first, first + plane) - values.begin();
  }
  return {pick(x, shape, indices)};
}

}  // namespace

ir::OpDef global_max_pool() {
  return {.name = "GlobalMaxPool",
          .traits = ir::Trait::Monotone,
          .infer = infer_global_max_pool,
          .evaluate = evaluate_global_max_pool};
}

}  // namespace kvant::ops
