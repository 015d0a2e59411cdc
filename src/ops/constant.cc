// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

Tensor value_of_constant(const ir::Node& node) {
  const ir::Attributes& attributes = node.attributes;
  if (const Tensor* value = attributes.tensor("value")) return *value;
  if (attributes.has("value_float")) return Tensor::scalar(attributes.real("value_float", 0));
  if (attributes.has("value_int")) return Tensor::scalar(attributes.integer("value_int", 0));
  if (attributes.has("value_floats")) return Tensor::vector(attributes.reals("value_floats"));
  if (attributes.has("value_ints")) return Tensor::vector(attributes.integers("value_ints"));
  fail("Constant: none of value, value_float, value_int, value_floats, value_ints is given");
}

}  // namespace

// The tensor in its attribute.
ir::OpDef constant() {
  return {.name = "Constant",
          .min_inputs = 0,
          .max_inputs = 0,
          .attributes = {{"value", ir::AttributeKind::Tensor},
                         {"value_float", ir::AttributeKind::Real},
                         {"value_int", ir::AttributeKind::Integer},
                         {"value_floats", ir::AttributeKind::Reals},
                         {"value_ints", ir::AttributeKind::Integers}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Tensor value = value_of_constant(args.node);
            return {Type{value.dtype(), value.shape()}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {value_of_constant(args.node)};
          }};
}

}  // namespace kvant::ops
