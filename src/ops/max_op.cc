// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The largest of all inputs, element by element; NaN wins.
ir::OpDef max_op() {
  return {.name = "Max",
          .max_inputs = ir::kVariadic,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {fold_inputs<DTypes::Numbers>(args, [](auto a, auto b) { return maximum(a, b); })};
          }};
}

}  // namespace kvant::ops
