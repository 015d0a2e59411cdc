// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = cosh(x).
ir::OpDef cosh_op() {
  return {
      .name = "Cosh",
      .traits = ir::Trait::Elementwise,
      .infer = same_type_of<DTypes::Floats>,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::cosh(x); })};
      }};
}

}  // namespace kvant::ops
