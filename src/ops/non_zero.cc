// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_non_zero(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor set = x.cast(DType::Bool);
  std::vector<int64_t> found;
  for (int64_t i = 0; i < set.size(); ++i) {
    if (set.data<bool>()[static_cast<size_t>(i)]) found.push_back(i);
  }
  Tensor y(DType::Int64, {static_cast<int64_t>(x.rank()), static_cast<int64_t>(found.size())});
  const auto out = y.mutable_data<int64_t>();
  const auto strides = strides_of(x.shape());
  for (size_t d = 0; d < x.rank(); ++d) {
    for (size_t i = 0; i < found.size(); ++i) out[d * found.size() + i] = found[i] / strides[d] % x.dim(d);
  }
  return {y};
}

}  // namespace

// The positions of elements that are not 0, row-major: [rank of x, how many], i64.
ir::OpDef non_zero() {
  return {.name = "NonZero",
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const auto& shape = args.inputs[0].shape;
            return {Type{DType::Int64,
                         Shape{shape ? static_cast<int64_t>(shape->size()) : kUnknownDim, kUnknownDim}}};
          },
          .evaluate = evaluate_non_zero};
}

}  // namespace kvant::ops
