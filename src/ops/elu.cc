// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x for x >= 0, else alpha * (e^x - 1); alpha is 1 unless given.
ir::OpDef elu() {
  return {.name = "Elu",
          .attributes = {{"alpha", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) {
            return map_activation(args, Activation::Elu, args.attributes().real("alpha", 1.0f));
          }};
}

}  // namespace kvant::ops
