// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

namespace kvant::ops {

// The sum over axes. Floats are summed in double; integers wrap around.
ir::OpDef reduce_sum() {
  return {.name = "ReduceSum",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) {
            return reduce_sum_of<DTypes::Numbers>(
                args, [](auto v) { return v; }, [](auto sum, int64_t) { return sum; });
          }};
}

}  // namespace kvant::ops
