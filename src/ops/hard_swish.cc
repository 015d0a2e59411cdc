// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x * max(0, min(1, x / 6 + 0.5)).
ir::OpDef hard_swish() {
  return {.name = "HardSwish",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) { return map_activation(args, Activation::HardSwish); }};
}

}  // namespace kvant::ops
