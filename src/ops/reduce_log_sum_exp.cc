// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "ops/reduce.h"

namespace kvant::ops {

namespace {

// sum of e^(v - largest) so far; `largest` moves as elements come, so nothing overflows.
struct Scaled {
  double largest = -std::numeric_limits<double>::infinity();
  double sum = 0;

  void add(double v) {
    if (v == largest) {
      sum += std::isinf(v) && v < 0 ? 0 : 1;
    } else if (v < largest) {
      sum += std::exp(v - largest);
    } else {
      sum = sum * std::exp(largest - v) + 1;
      largest = v;
    }
  }
  double result() const { return largest + std::log(sum); }
};

std::vector<Tensor> evaluate_reduce_log_sum_exp(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Reduction plan = plan_reduction(x.shape(), reduced_axes(args), keeps_dims(args.node));
  Tensor y;
  visit<DTypes::Numbers>(args.node.op, x.dtype(), [&]<class T>() {
    y = reduce<T, T>(
        x, plan, Scaled{}, [](Scaled& state, auto v) { state.add(static_cast<double>(v)); },
        [](const Scaled& state) { return from_double<T>(state.result()); });
  });
  return {y};
}

}  // namespace

// ln of the sum of e^x over axes, in double and without overflow; -inf of nothing.
ir::OpDef reduce_log_sum_exp() {
  return {.name = "ReduceLogSumExp",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = evaluate_reduce_log_sum_exp};
}

}  // namespace kvant::ops
