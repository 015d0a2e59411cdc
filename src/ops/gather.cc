// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Type> infer_gather(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  const Type& indices = args.inputs[1];
  require_index_dtype(args.node.op, indices.dtype);
  if (!x.shape || !indices.shape) return {Type{x.dtype, std::nullopt}};
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.shape->size());
  Shape shape = *x.shape;
  const auto at = shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(at, indices.shape->begin(), indices.shape->end());
  return {Type{x.dtype, shape}};
}

std::vector<Tensor> evaluate_gather(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor& indices = args.in(1);
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.rank());
  const std::vector<int64_t> rows = checked_indices(args.node.op, indices, x.dim(axis));
  Shape shape = x.shape();
  const auto at = shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  shape.insert(at, indices.shape().begin(), indices.shape().end());
  Tensor y(x.dtype(), checked_result(args.node.op, shape));
  if (y.size() == 0) return {y};
  const int64_t outer = count_before(x.shape(), axis);
  const size_t row = static_cast<size_t>(count_from(x.shape(), axis + 1)) * size_of(x.dtype());
  const size_t slab = row * static_cast<size_t>(x.dim(axis));
  std::byte* out = y.mutable_raw();
  for (size_t o = 0; o < static_cast<size_t>(outer); ++o) {
    for (const int64_t index : rows) {
      std::memcpy(out, x.raw() + o * slab + static_cast<size_t>(index) * row, row);
      out += row;
    }
  }
  return {y};
}

}  // namespace

// Slices of x along `axis` (default 0) at the given indices; negative ones count from the end.
ir::OpDef gather() {
  return {.name = "Gather",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .traits = ir::Trait::MovesData,
          .infer = infer_gather,
          .evaluate = evaluate_gather};
}

}  // namespace kvant::ops
