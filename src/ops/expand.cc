// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Type> infer_expand(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  const auto wanted = constant_ints(args, 1, "shape");
  if (wanted)
    return {Type{x.dtype, broadcast_partial(args.node.op, x.shape, checked_result(args.node.op, *wanted))}};
  const auto length = known_length(args.inputs[1]);
  if (!x.shape || !length) return {Type{x.dtype, std::nullopt}};
  return {
      Type{x.dtype, unknown_shape(args.node.op, std::max(*length, static_cast<int64_t>(x.shape->size())))}};
}

std::vector<Tensor> evaluate_expand(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Shape wanted = checked_result(args.node.op, input_ints(args, 1, "shape"));
  Tensor y(x.dtype(), checked_result(args.node.op, broadcast(x.shape(), wanted)));
  if (y.size() == 0) return {y};
  StridedBox box{y.shape(), std::vector<int64_t>(y.rank(), 0), strides_of(y.shape())};
  const auto own = strides_of(x.shape());
  const size_t lead = y.rank() - x.rank();
  for (size_t d = 0; d < x.rank(); ++d) box.source_strides[lead + d] = x.dim(d) == 1 ? 0 : own[d];
  copy_strided(box, size_of(x.dtype()), x.raw(), y.mutable_raw());
  return {y};
}

}  // namespace

// x repeated to the broadcast of its shape and the given one.
ir::OpDef expand() {
  return {.name = "Expand",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::MovesData,
          .infer = infer_expand,
          .evaluate = evaluate_expand};
}

}  // namespace kvant::ops
