// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/reduce.h"

namespace kvant::ops {

// The natural logarithm of the sum over axes; -inf of nothing.
ir::OpDef reduce_log_sum() {
  return {.name = "ReduceLogSum",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .infer = reduction_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) {
            return reduce_sum_of<DTypes::Numbers>(
                args, [](auto v) { return v; },
                [](auto sum, int64_t) { return std::log(static_cast<double>(sum)); });
          }};
}

}  // namespace kvant::ops
