// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

// One line of n elements, `step` apart.
template <class T>
void running_sum(const T* x, T* y, int64_t n, int64_t step, bool exclusive, bool reverse) {
  std::conditional_t<kIsFloat<T>, double, Computed<T>> sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = (reverse ? n - 1 - i : i) * step;
    if (exclusive) y[at] = narrow<T>(sum);
    sum = add_wrapping(sum, static_cast<decltype(sum)>(widen(x[at])));
    if (!exclusive) y[at] = narrow<T>(sum);
  }
}

std::vector<Tensor> evaluate_cum_sum(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const size_t axis =
      checked_axis(args.node.op, single_int(input_ints(args, 1, "axis"), args.node.op, "axis"), x.rank());
  const bool exclusive = args.attributes().integer("exclusive", 0) != 0;
  const bool reverse = args.attributes().integer("reverse", 0) != 0;
  Tensor y(x.dtype(), x.shape());
  if (x.size() == 0) return {y};
  const int64_t n = x.dim(axis), inner = strides_of(x.shape())[axis];
  visit<DTypes::Numbers>(args.node.op, x.dtype(), [&]<class T>() {
    const T* in = x.data<T>().data();
    T* out = y.mutable_data<T>().data();
    for (int64_t start = 0; start < x.size(); start += n * inner) {
      for (int64_t i = start; i < start + inner; ++i)
        running_sum(in + i, out + i, n, inner, exclusive, reverse);
    }
  });
  return {y};
}

}  // namespace

// Sums along one axis up to each element (without it when exclusive; from the end when reverse). Floats in
// double.
ir::OpDef cum_sum() {
  return {.name = "CumSum",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"exclusive", ir::AttributeKind::Integer}, {"reverse", ir::AttributeKind::Integer}},
          .infer = same_type_of<DTypes::Numbers>,
          .evaluate = evaluate_cum_sum};
}

}  // namespace kvant::ops
