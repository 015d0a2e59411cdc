// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// True where x is not a number.
ir::OpDef is_nan() {
  return {
      .name = "IsNaN",
      .traits = ir::Trait::Elementwise,
      .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
        require_dtype(args.node.op, DTypes::Floats, args.inputs[0].dtype);
        return {Type{DType::Bool, args.inputs[0].shape}};
      },
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_to_bool<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::isnan(x); })};
      }};
}

}  // namespace kvant::ops
