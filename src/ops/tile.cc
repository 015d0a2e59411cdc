// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

Shape tiled(const Shape& shape, const std::vector<int64_t>& repeats) {
  if (repeats.size() != shape.size()) fail("Tile: {} repeats for {}", repeats.size(), to_string(shape));
  Shape result = shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    checked_result("Tile", {repeats[d]});
    if (shape[d] != kUnknownDim) result[d] = element_count({shape[d], repeats[d]});
  }
  return result;
}

std::vector<Tensor> evaluate_tile(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const auto repeats = input_ints(args, 1, "repeats");
  Tensor y(x.dtype(), checked_result(args.node.op, tiled(x.shape(), repeats)));
  if (y.size() == 0) return {y};
  // Each axis as two: which repeat (source stride 0), which element.
  StridedBox box;
  const auto own = strides_of(x.shape());
  for (size_t d = 0; d < x.rank(); ++d) {
    box.extents.insert(box.extents.end(), {repeats[d], x.dim(d)});
    box.source_strides.insert(box.source_strides.end(), {0, own[d]});
  }
  box.target_strides = strides_of(box.extents);
  copy_strided(box, size_of(x.dtype()), x.raw(), y.mutable_raw());
  return {y};
}

}  // namespace

// x repeated along each axis.
ir::OpDef tile() {
  return {.name = "Tile",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Type& x = args.inputs[0];
            if (!x.shape) return {x};
            const auto repeats = constant_ints(args, 1, "repeats");
            return {Type{x.dtype, repeats ? tiled(*x.shape, *repeats) : Shape(x.shape->size(), kUnknownDim)}};
          },
          .evaluate = evaluate_tile};
}

}  // namespace kvant::ops
