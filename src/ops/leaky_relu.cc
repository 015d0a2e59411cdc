// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x for x >= 0, else alpha * x; alpha is 0.01 unless given.
ir::OpDef leaky_relu() {
  return {.name = "LeakyRelu",
          .attributes = {{"alpha", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) {
            return map_activation(args, Activation::LeakyRelu, args.attributes().real("alpha", 0.01f));
          }};
}

}  // namespace kvant::ops
