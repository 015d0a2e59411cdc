// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// 1, 0 or -1; NaN stays NaN.
ir::OpDef sign() {
  return {.name = "Sign",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Numbers>(args.node.op, args.in(0), [](auto x) {
              return x > 0 ? decltype(x){1} : x < 0 ? static_cast<decltype(x)>(-1) : x;
            })};
          }};
}

}  // namespace kvant::ops
