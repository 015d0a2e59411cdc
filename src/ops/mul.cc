// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// a * b; integers wrap around.
ir::OpDef mul() {
  return {.name = "Mul",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_pairs<DTypes::Numbers>(args.node.op, args.in(0), args.in(1),
                                               [](auto a, auto b) { return multiply_wrapping(a, b); })};
          }};
}

}  // namespace kvant::ops
