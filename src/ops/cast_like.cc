// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

// Input 0 with the element type of input 1, converted as Cast does.
ir::OpDef cast_like() {
  return {.name = "CastLike",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"saturate", ir::AttributeKind::Integer}, {"round_mode", ir::AttributeKind::Text}},
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            return {Type{args.inputs[1].dtype, args.inputs[0].shape}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {args.in(0).cast(args.in(1).dtype())};
          }};
}

}  // namespace kvant::ops
