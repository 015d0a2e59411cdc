// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// Every bit inverted.
ir::OpDef bitwise_not() {
  return {.name = "BitwiseNot",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Integers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Integers>(args.node.op, args.in(0),
                                                   [](auto x) { return static_cast<decltype(x)>(~x); })};
          }};
}

}  // namespace kvant::ops
