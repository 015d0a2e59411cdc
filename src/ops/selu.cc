// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = gamma * x for x > 0, else gamma * alpha * (e^x - 1).
ir::OpDef selu() {
  return {.name = "Selu",
          .attributes = {{"alpha", ir::AttributeKind::Real}, {"gamma", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const float alpha = args.attributes().real("alpha", 1.67326319217681884765625f);
            const float gamma = args.attributes().real("gamma", 1.05070102214813232421875f);
            return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [=](auto x) {
              return x > 0 ? gamma * x : gamma * (alpha * std::expm1(x));
            })};
          }};
}

}  // namespace kvant::ops
