// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

Shape squeezed(const Shape& shape, const std::vector<size_t>& axes) {
  Shape result;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (std::find(axes.begin(), axes.end(), d) == axes.end()) {
      result.push_back(shape[d]);
    } else if (shape[d] != 1 && shape[d] != kUnknownDim) {
      fail("Squeeze: dimension {} of {} is not 1", d, to_string(shape));
    }
  }
  return result;
}

Shape without_ones(Shape shape) {
  std::erase(shape, 1);
  return shape;
}

std::vector<Type> infer_squeeze(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  if (!x.shape) return {Type{x.dtype, std::nullopt}};
  if (!args.has(1)) {
    // An unknown dimension may be 1: the rank cannot be told.
    if (!known_count(x.shape)) return {Type{x.dtype, std::nullopt}};
    return {Type{x.dtype, without_ones(*x.shape)}};
  }
  const auto axes = constant_ints(args, 1, "axes");
  if (!axes) return {Type{x.dtype, std::nullopt}};
  return {Type{x.dtype, squeezed(*x.shape, checked_axes(args.node.op, *axes, x.shape->size()))}};
}

}  // namespace

// Drops dimensions of 1: those in axes, or all of them.
ir::OpDef squeeze() {
  return {.name = "Squeeze",
          .max_inputs = 2,
          .traits = ir::Trait::MovesData,
          .infer = infer_squeeze,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Tensor& x = args.in(0);
            if (!args.has(1)) return {x.reshaped(without_ones(x.shape()))};
            return {x.reshaped(
                squeezed(x.shape(), checked_axes(args.node.op, input_ints(args, 1, "axes"), x.rank())))};
          }};
}

}  // namespace kvant::ops
