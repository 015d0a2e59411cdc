// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = 1 / x.
ir::OpDef reciprocal() {
  return {.name = "Reciprocal",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return 1 / x; })};
          }};
}

}  // namespace kvant::ops
