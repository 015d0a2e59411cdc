// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// Logical negation.
ir::OpDef not_op() {
  return {.name = "Not",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Bools>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Bools>(args.node.op, args.in(0), [](auto x) { return !x; })};
          }};
}

}  // namespace kvant::ops
