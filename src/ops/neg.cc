// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = -x; the smallest integer stays as it is (two's complement).
ir::OpDef neg() {
  return {.name = "Neg",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::SignedNumbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::SignedNumbers>(args.node.op, args.in(0), [](auto x) {
              if constexpr (std::is_integral_v<decltype(x)>)
                return subtract_wrapping(decltype(x){}, x);
              else
                return -x;
            })};
          }};
}

}  // namespace kvant::ops
