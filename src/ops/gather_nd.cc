// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/indexing.h"
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

// indices.shape[:-1] + x.shape[batch_dims + indices.shape[-1]:]; dimensions may be unknown, the last of
// indices not.
Shape result_shape(const Shape& x, const Shape& indices, size_t batch_dims) {
  const size_t depth = index_depth("GatherND", x, indices, batch_dims);
  Shape shape(indices.begin(), indices.end() - 1);
  shape.insert(shape.end(), x.begin() + static_cast<std::ptrdiff_t>(batch_dims + depth), x.end());
  return shape;
}

size_t batch_dims_of(const ir::Node& node) {
  const int64_t batch_dims = node.attributes.integer("batch_dims", 0);
  if (batch_dims < 0) fail("GatherND: batch_dims is {}", batch_dims);
  return static_cast<size_t>(batch_dims);
}

std::vector<Type> infer_gather_nd(const ir::InferArgs& args) {
  const auto& x = args.inputs[0].shape;
  const auto& indices = args.inputs[1].shape;
  require_index_dtype(args.node.op, args.inputs[1].dtype);
  if (!x || !indices || indices->empty() || indices->back() == kUnknownDim) {
    return {Type{args.inputs[0].dtype, std::nullopt}};
  }
  return {Type{args.inputs[0].dtype, result_shape(*x, *indices, batch_dims_of(args.node))}};
}

std::vector<Tensor> evaluate_gather_nd(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor& indices = args.in(1);
  const size_t batch_dims = batch_dims_of(args.node);
  const Shape shape = result_shape(x.shape(), indices.shape(), batch_dims);
  const std::vector<int64_t> offsets = slice_offsets(args.node.op, x.shape(), indices, batch_dims);
  Tensor y(x.dtype(), checked_result(args.node.op, shape));
  if (y.size() == 0) return {y};
  const size_t size = size_of(x.dtype()), row = y.byte_size() / offsets.size();
  std::byte* out = y.mutable_raw();
  for (size_t i = 0; i < offsets.size(); ++i) {
    std::memcpy(out + i * row, x.raw() + static_cast<size_t>(offsets[i]) * size, row);
  }
  return {y};
}

}  // namespace

// Slices of x at index tuples: the last dimension of `indices` holds positions in x's axes after the batch
// ones.
ir::OpDef gather_nd() {
  return {.name = "GatherND",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"batch_dims", ir::AttributeKind::Integer}},
          .traits = ir::Trait::MovesData,
          .infer = infer_gather_nd,
          .evaluate = evaluate_gather_nd};
}

}  // namespace kvant::ops
