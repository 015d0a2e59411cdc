// SPDX-License-Identifier: Apache-2.0
#include "ops/arg_extreme.h"

namespace kvant::ops {

// The index of the largest element along `axis` (i64); of equals the first, or the last with
// select_last_index = 1.
ir::OpDef arg_max() {
  return {.name = "ArgMax",
          .attributes = arg_extreme_attributes(),
          .infer = infer_arg_extreme,
          .evaluate = [](const ir::EvalArgs& args) { return arg_extreme(args, true); }};
}

}  // namespace kvant::ops
