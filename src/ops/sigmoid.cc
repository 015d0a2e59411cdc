// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = 1 / (1 + e^-x).
ir::OpDef sigmoid() {
  return {.name = "Sigmoid",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) { return map_activation(args, Activation::Sigmoid); }};
}

}  // namespace kvant::ops
