// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

namespace kvant::ops {

// The sum of magnitudes over axes.
ir::OpDef reduce_l1() {
  return {.name = "ReduceL1",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) {
            return reduce_sum_of<DTypes::Numbers>(
                args, [](auto v) { return v < decltype(v){} ? subtract_wrapping(decltype(v){}, v) : v; },
                [](auto sum, int64_t) { return sum; });
          }};
}

}  // namespace kvant::ops
