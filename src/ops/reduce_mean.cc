// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

namespace kvant::ops {

// The mean over axes, summed in double; of integers truncated toward zero. The mean of nothing is NaN
// (integers: 0).
ir::OpDef reduce_mean() {
  return {.name = "ReduceMean",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) {
            return reduce_sum_of<DTypes::Numbers>(
                args, [](auto v) { return v; },
                [](auto sum, int64_t count) {
                  using Sum = decltype(sum);
                  if constexpr (std::is_integral_v<Sum>)
                    return count == 0 ? Sum{0} : static_cast<Sum>(sum / static_cast<Sum>(count));
                  else
                    return sum / static_cast<Sum>(count);
                });
          }};
}

}  // namespace kvant::ops
