// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The sum of all inputs, from the left.
ir::OpDef sum() {
  return {.name = "Sum",
          .max_inputs = ir::kVariadic,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {fold_inputs<DTypes::Floats>(args, [](auto a, auto b) { return a + b; })};
          }};
}

}  // namespace kvant::ops
