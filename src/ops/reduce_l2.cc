// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/reduce.h"

namespace kvant::ops {

// The Euclidean norm over axes: the square root of the sum of squares.
ir::OpDef reduce_l2() {
  return {.name = "ReduceL2",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) {
            return reduce_sum_of<DTypes::Numbers>(
                args, [](auto v) { return multiply_wrapping(v, v); },
                [](auto sum, int64_t) { return std::sqrt(static_cast<double>(sum)); });
          }};
}

}  // namespace kvant::ops
