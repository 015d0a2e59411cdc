// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

template <class T>
T divide(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) fail("Div: division of an integer by zero");
    if constexpr (std::is_signed_v<T>) {
      // The smallest integer by -1 does not fit; it wraps to itself.
      if (b == -1) return subtract_wrapping(T{0}, a);
    }
    return static_cast<T>(a / b);
  } else {
    return a / b;
  }
}

}  // namespace

// a / b; integers truncate toward zero and refuse a zero divisor.
ir::OpDef div_op() {
  return {.name = "Div",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_pairs<DTypes::Numbers>(args.node.op, args.in(0), args.in(1),
                                               [](auto a, auto b) { return divide(a, b); })};
          }};
}

}  // namespace kvant::ops
