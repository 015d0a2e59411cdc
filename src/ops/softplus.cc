// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = ln(1 + e^x), without overflow for large x.
ir::OpDef softplus() {
  return {.name = "Softplus",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) { return map_activation(args, Activation::Softplus); }};
}

}  // namespace kvant::ops
