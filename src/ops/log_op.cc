// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The natural logarithm of x; -inf at 0, NaN below.
ir::OpDef log_op() {
  return {
      .name = "Log",
      .traits = ir::Trait::Elementwise,
      .infer = same_type_of<DTypes::Floats>,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::log(x); })};
      }};
}

}  // namespace kvant::ops
