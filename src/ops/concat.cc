// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {
namespace {

// Joins two shapes along `axis`; dimensions may be unknown.
Shape joined(const Shape& a, const Shape& b, size_t axis) {
  bool fits = a.size() == b.size();
  Shape shape = a;
  for (size_t d = 0; d < a.size() && fits; ++d) {
    const bool known = a[d] != kUnknownDim && b[d] != kUnknownDim;
    if (d == axis) {
      shape[d] = known ? a[d] + b[d] : kUnknownDim;
    } else {
      fits = !known || a[d] == b[d];
      shape[d] = a[d] == kUnknownDim ? b[d] : a[d];
    }
  }
  if (!fits) fail("Concat: shapes {} and {} do not fit along axis {}", to_string(a), to_string(b), axis);
  return shape;
}

std::vector<Type> infer_concat(const ir::InferArgs& args) {
  const DType dtype = args.inputs[0].dtype;
  bool all_known = true;
  for (const Type& input : args.inputs) {
    require_same_dtype(args.node.op, dtype, input.dtype);
    all_known = all_known && input.shape;
  }
  if (!all_known) return {Type{dtype, std::nullopt}};
  Shape shape = *args.inputs[0].shape;
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), shape.size());
  for (const Type& input : args.inputs.subspan(1)) shape = joined(shape, *input.shape, axis);
  return {Type{dtype, shape}};
}

std::vector<Tensor> evaluate_concat(const ir::EvalArgs& args) {
  const Tensor& first = args.in(0);
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), first.rank());
  Shape shape = first.shape();
  for (size_t i = 1; i < args.inputs.size(); ++i) {
    require_same_dtype(args.node.op, first.dtype(), args.in(i).dtype());
    shape = joined(shape, args.in(i).shape(), axis);
  }
  Tensor result(first.dtype(), shape);
  if (result.size() == 0) return {result};
  const int64_t outer = count_before(shape, axis);
  std::byte* target = result.mutable_raw();
  const size_t stride = result.byte_size() / static_cast<size_t>(outer);
  for (size_t i = 0; i < args.inputs.size(); ++i) {
    const size_t chunk = args.in(i).byte_size() / static_cast<size_t>(outer);
    if (chunk == 0) continue;
    for (size_t o = 0; o < static_cast<size_t>(outer); ++o) {
      std::memcpy(target + o * stride, args.in(i).raw() + o * chunk, chunk);
    }
    target += chunk;
  }
  return {result};
}

}  // namespace

// All inputs, one after the other along `axis`.
ir::OpDef concat() {
  return {.name = "Concat",
          .max_inputs = ir::kVariadic,
          .attributes = {{"axis", ir::AttributeKind::Integer, true}},
          .traits = ir::Trait::MovesData,
          .infer = infer_concat,
          .evaluate = evaluate_concat};
}

}  // namespace kvant::ops
