// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = max(0, min(1, alpha * x + beta)); 0.2 and 0.5 unless given.
ir::OpDef hard_sigmoid() {
  return {.name = "HardSigmoid",
          .attributes = {{"alpha", ir::AttributeKind::Real}, {"beta", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) {
            const float alpha = args.attributes().real("alpha", 0.2f);
            const float beta = args.attributes().real("beta", 0.5f);
            return map_activation(args, Activation::HardSigmoid, alpha, beta);
          }};
}

}  // namespace kvant::ops
