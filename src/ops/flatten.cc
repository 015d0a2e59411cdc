// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

Shape flattened(const ir::Node& node, const Shape& shape) {
  const auto rank = static_cast<int64_t>(shape.size());
  int64_t axis = node.attributes.integer("axis", 1);
  if (axis < -rank || axis > rank) fail("Flatten: axis {} is outside a tensor of {} dimensions", axis, rank);
  if (axis < 0) axis += rank;
  const Shape rows(shape.begin(), shape.begin() + axis), columns(shape.begin() + axis, shape.end());
  return {known_count(rows).value_or(kUnknownDim), known_count(columns).value_or(kUnknownDim)};
}

}  // namespace

// A matrix: dimensions before `axis` (default 1) as rows, the rest as columns.
ir::OpDef flatten() {
  return {.name = "Flatten",
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Type& x = args.inputs[0];
            return {Type{x.dtype, x.shape ? flattened(args.node, *x.shape) : unknown_shape(args.node.op, 2)}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {args.in(0).reshaped(flattened(args.node, args.in(0).shape()))};
          }};
}

}  // namespace kvant::ops
