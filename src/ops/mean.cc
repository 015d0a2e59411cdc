// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The mean of all inputs: their sum from the left, divided by their number.
ir::OpDef mean() {
  return {.name = "Mean",
          .max_inputs = ir::kVariadic,
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Tensor sum = fold_inputs<DTypes::Floats>(args, [](auto a, auto b) { return a + b; });
            const auto count = static_cast<int>(args.inputs.size());
            return {map_elements<DTypes::Floats>(args.node.op, sum, [count](auto x) { return x / count; })};
          }};
}

}  // namespace kvant::ops
