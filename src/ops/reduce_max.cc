// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

namespace kvant::ops {

// The largest element over axes; of nothing the lowest value of the type (-inf for floats). NaN wins. Bool is
// ordered false < true.
ir::OpDef reduce_max() {
  return {.name = "ReduceMax",
          .max_inputs = 2,
          .attributes = reduction_attributes(),
          .traits = ir::Trait::Monotone,
          .infer = reduction_type<DTypes::All>,
          .evaluate = [](const ir::EvalArgs& args) { return reduce_extreme<true>(args); }};
}

}  // namespace kvant::ops
