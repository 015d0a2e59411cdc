// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Axes count in the result.
Shape unsqueezed(const Shape& shape, const std::vector<int64_t>& axes) {
  Shape result(shape.size() + axes.size(), 0);
  for (const size_t axis : checked_axes("Unsqueeze", axes, result.size())) result[axis] = 1;
  auto next = shape.begin();
  for (int64_t& dim : result) {
    if (dim == 0) dim = *next++;
  }
  return result;
}

}  // namespace

// Inserts dimensions of 1 at axes.
ir::OpDef unsqueeze() {
  return {
      .name = "Unsqueeze",
      .min_inputs = 2,
      .max_inputs = 2,
      .traits = ir::Trait::MovesData,
      .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
        const Type& x = args.inputs[0];
        const auto axes = constant_ints(args, 1, "axes");
        if (x.shape && axes) return {Type{x.dtype, unsqueezed(*x.shape, *axes)}};
        const auto added = known_length(args.inputs[1]);
        if (!x.shape || !added) return {Type{x.dtype, std::nullopt}};
        return {Type{x.dtype, unknown_shape(args.node.op, static_cast<int64_t>(x.shape->size()) + *added)}};
      },
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {args.in(0).reshaped(unsqueezed(args.in(0).shape(), input_ints(args, 1, "axes")))};
      }};
}

}  // namespace kvant::ops
