// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// True where x is infinite, of the signs that detect_positive and detect_negative (default 1) ask for.
ir::OpDef is_inf() {
  return {.name = "IsInf",
          .attributes = {{"detect_negative", ir::AttributeKind::Integer},
                         {"detect_positive", ir::AttributeKind::Integer}},
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_dtype(args.node.op, DTypes::Floats, args.inputs[0].dtype);
            return {Type{DType::Bool, args.inputs[0].shape}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const bool negative = args.attributes().integer("detect_negative", 1) != 0;
            const bool positive = args.attributes().integer("detect_positive", 1) != 0;
            return {map_to_bool<DTypes::Floats>(args.node.op, args.in(0), [=](auto x) {
              return std::isinf(x) && (x > 0 ? positive : negative);
            })};
          }};
}

}  // namespace kvant::ops
