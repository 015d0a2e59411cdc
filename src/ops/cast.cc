// SPDX-License-Identifier: Apache-2.0
#include "ops/onnx_dtype.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// Element type `to` (ONNX's numbering). Floats to integers truncate toward zero; anything to bool is "not 0".
ir::OpDef cast() {
  return {.name = "Cast",
          .attributes = {{"to", ir::AttributeKind::Integer, true},
                         {"saturate", ir::AttributeKind::Integer},
                         {"round_mode", ir::AttributeKind::Text}},
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            return {Type{dtype_attribute(args.node, "to", DType::Float32), args.inputs[0].shape}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {args.in(0).cast(dtype_attribute(args.node, "to", DType::Float32))};
          }};
}

}  // namespace kvant::ops
