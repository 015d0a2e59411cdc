// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The nearest integer, halves to even. Relies on the default rounding mode.
ir::OpDef round_op() {
  return {.name = "Round",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Floats>(args.node.op, args.in(0),
                                                 [](auto x) { return std::nearbyint(x); })};
          }};
}

}  // namespace kvant::ops
