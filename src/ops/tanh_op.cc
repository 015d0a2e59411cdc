// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The hyperbolic tangent of x.
ir::OpDef tanh_op() {
  return {.name = "Tanh",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) { return map_activation(args, Activation::Tanh); }};
}

}  // namespace kvant::ops
