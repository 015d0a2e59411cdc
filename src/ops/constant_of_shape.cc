// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

Tensor value_of_constant_of_shape(const ir::Node& node) {
  const Tensor* value = node.attributes.tensor("value");
  if (value == nullptr) return Tensor::scalar(0.0f);
  if (value->size() != 1)
    fail("ConstantOfShape: value must be one element, not {}", to_string(value->shape()));
  return *value;
}

}  // namespace

// A tensor of the given shape, every element the one of attribute value (f32 0 when absent).
ir::OpDef constant_of_shape() {
  return {.name = "ConstantOfShape",
          .attributes = {{"value", ir::AttributeKind::Tensor}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const DType dtype = value_of_constant_of_shape(args.node).dtype();
            if (const auto shape = constant_ints(args, 0, "shape")) {
              return {Type{dtype, checked_result(args.node.op, *shape)}};
            }
            const auto rank = known_length(args.inputs[0]);
            if (!rank) return {Type{dtype, std::nullopt}};
            return {Type{dtype, unknown_shape(args.node.op, *rank)}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Tensor value = value_of_constant_of_shape(args.node);
            Tensor y(value.dtype(), checked_result(args.node.op, input_ints(args, 0, "shape")));
            fill(y, value);
            return {y};
          }};
}

}  // namespace kvant::ops
