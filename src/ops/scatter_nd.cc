// SPDX-License-Identifier: Apache-2.0
#include "ops/indexing.h"
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_scatter_nd(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor& indices = args.in(1);
  const Tensor& updates = args.in(2);
  require_same_dtype(args.node.op, x.dtype(), updates.dtype());
  const size_t depth = index_depth(args.node.op, x.shape(), indices.shape(), 0);
  Shape expected(indices.shape().begin(), indices.shape().end() - 1);
  expected.insert(expected.end(), x.shape().begin() + static_cast<std::ptrdiff_t>(depth), x.shape().end());
  if (updates.shape() != expected) {
    fail("ScatterND: updates are {}, not {}", to_string(updates.shape()), to_string(expected));
  }
  const std::vector<int64_t> offsets = slice_offsets(args.node.op, x.shape(), indices, 0);
  Tensor y = x;
  apply_updates(y, offsets, updates, count_from(x.shape(), depth), scatter_mode(args.node));
  return {y};
}

}  // namespace

// A copy of x with whole slices replaced (or combined, by `reduction`) at index tuples.
ir::OpDef scatter_nd() {
  return {.name = "ScatterND",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = {{"reduction", ir::AttributeKind::Text}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_index_dtype(args.node.op, args.inputs[1].dtype);
            require_same_dtype(args.node.op, args.inputs[0].dtype, args.inputs[2].dtype);
            return same_type(args);
          },
          .evaluate = evaluate_scatter_nd};
}

}  // namespace kvant::ops
