// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = max(0, x) + min(0, alpha * (e^(x / alpha) - 1)); alpha is 1 unless given.
ir::OpDef celu() {
  return {.name = "Celu",
          .attributes = {{"alpha", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const float alpha = args.attributes().real("alpha", 1.0f);
            return {map_elements<DTypes::Floats>(
                args.node.op, args.in(0), [=](auto x) { return x < 0 ? alpha * std::expm1(x / alpha) : x; })};
          }};
}

}  // namespace kvant::ops
