// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The square root of x; NaN for negative x.
ir::OpDef sqrt_op() {
  return {
      .name = "Sqrt",
      .traits = ir::Trait::Elementwise,
      .infer = same_type_of<DTypes::Floats>,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::sqrt(x); })};
      }};
}

}  // namespace kvant::ops
