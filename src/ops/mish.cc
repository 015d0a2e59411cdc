// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x * tanh(ln(1 + e^x)).
ir::OpDef mish() {
  return {.name = "Mish",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) { return map_activation(args, Activation::Mish); }};
}

}  // namespace kvant::ops
