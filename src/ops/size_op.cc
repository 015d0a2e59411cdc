// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

// The number of elements of x, as an i64 scalar.
ir::OpDef size_op() {
  return {.name = "Size",
          .infer = [](const ir::InferArgs&) -> std::vector<Type> {
            return {Type{DType::Int64, Shape{}}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {Tensor::scalar(args.in(0).size())};
          }};
}

}  // namespace kvant::ops
