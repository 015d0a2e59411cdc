// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = |x|; the smallest signed integer stays as it is (two's complement).
ir::OpDef abs_op() {
  return {.name = "Abs",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {map_elements<DTypes::Numbers>(args.node.op, args.in(0), [](auto x) {
              return x < decltype(x){} ? subtract_wrapping(decltype(x){}, x) : x + decltype(x){};
            })};
          }};
}

}  // namespace kvant::ops
