// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The smallest of all inputs, element by element; NaN wins.
ir::OpDef min_op() {
  return {.name = "Min",
          .max_inputs = ir::kVariadic,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {fold_inputs<DTypes::Numbers>(args, [](auto a, auto b) { return minimum(a, b); })};
          }};
}

}  // namespace kvant::ops
