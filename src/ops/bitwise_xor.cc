// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// Bits set in exactly one.
ir::OpDef bitwise_xor() {
  return {.name = "BitwiseXor",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Integers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_pairs<DTypes::Integers>(args.node.op, args.in(0), args.in(1),
                                                [](auto a, auto b) { return a ^ b; })};
          }};
}

}  // namespace kvant::ops
