// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x for x > alpha, else 0; alpha is 1 unless given.
ir::OpDef thresholded_relu() {
  return {.name = "ThresholdedRelu",
          .attributes = {{"alpha", ir::AttributeKind::Real}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const float alpha = args.attributes().real("alpha", 1.0f);
            return {map_elements<DTypes::Floats>(args.node.op, args.in(0),
                                                 [=](auto x) { return x > alpha ? x : decltype(x){0}; })};
          }};
}

}  // namespace kvant::ops
