// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

constexpr double kMostSteps = 2147483648.0;

template <class T>
T only_element(const Tensor& tensor) {
  if (tensor.size() != 1) fail("Range: start, limit and delta must be single numbers");
  return tensor.data<T>()[0];
}

// start, start + delta, ... below limit (above it for negative delta).
Tensor make_range(const Tensor& first, const Tensor& limit, const Tensor& delta) {
  require_same_dtype("Range", first.dtype(), limit.dtype());
  require_same_dtype("Range", first.dtype(), delta.dtype());
  Tensor y;
  visit<DTypes::Numbers>("Range", first.dtype(), [&]<class T>() {
    const auto start = widen(only_element<T>(first)), step = widen(only_element<T>(delta));
    const auto end = widen(only_element<T>(limit));
    if (step == 0) fail("Range: delta is 0");
    const double distance = static_cast<double>(end) - static_cast<double>(start);
    const double count = std::max(std::ceil(distance / static_cast<double>(step)), 0.0);
    if (!(count <= kMostSteps)) fail("Range: {} elements, more than 2^31", count);
    y = Tensor(first.dtype(), {static_cast<int64_t>(count)});
    const auto out = y.mutable_data<T>();
    for (size_t i = 0; i < out.size(); ++i) {
      using V = Computed<T>;
      out[i] = narrow<T>(add_wrapping<V>(start, multiply_wrapping<V>(static_cast<V>(i), step)));
    }
  });
  return y;
}

std::vector<Type> infer_range(const ir::InferArgs& args) {
  const auto& known = args.constants;
  const bool all = known.size() >= 3 && known[0] != nullptr && known[1] != nullptr && known[2] != nullptr;
  if (!all) return {Type{args.inputs[0].dtype, Shape{kUnknownDim}}};
  return {Type{args.inputs[0].dtype, make_range(*known[0], *known[1], *known[2]).shape()}};
}

}  // namespace

// Numbers from start (included) to limit (excluded) in steps of delta.
ir::OpDef range() {
  return {.name = "Range",
          .min_inputs = 3,
          .max_inputs = 3,
          .infer = infer_range,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {make_range(args.in(0), args.in(1), args.in(2))};
          }};
}

}  // namespace kvant::ops
