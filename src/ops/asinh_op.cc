// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = asinh(x).
ir::OpDef asinh_op() {
  return {
      .name = "Asinh",
      .traits = ir::Trait::Elementwise,
      .infer = same_type_of<DTypes::Floats>,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::asinh(x); })};
      }};
}

}  // namespace kvant::ops
