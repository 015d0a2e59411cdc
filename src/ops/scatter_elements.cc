// SPDX-License-Identifier: Apache-2.0
#include "ops/indexing.h"
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_scatter_elements(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor& indices = args.in(1);
  const Tensor& updates = args.in(2);
  require_same_dtype(args.node.op, x.dtype(), updates.dtype());
  if (indices.shape() != updates.shape()) {
    fail("ScatterElements: indices are {}, updates {}", to_string(indices.shape()),
         to_string(updates.shape()));
  }
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.rank());
  const std::vector<int64_t> offsets = element_offsets(args.node.op, x.shape(), indices, axis);
  Tensor y = x;
  apply_updates(y, offsets, updates, 1, scatter_mode(args.node));
  return {y};
}

}  // namespace

// A copy of x with y[indices[i][j]][j] = updates[i][j] for axis 0 and so on; `reduction` adds, multiplies or
// takes the extreme instead of replacing.
ir::OpDef scatter_elements() {
  return {.name = "ScatterElements",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = {{"axis", ir::AttributeKind::Integer}, {"reduction", ir::AttributeKind::Text}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_index_dtype(args.node.op, args.inputs[1].dtype);
            require_same_dtype(args.node.op, args.inputs[0].dtype, args.inputs[2].dtype);
            return same_type(args);
          },
          .evaluate = evaluate_scatter_elements};
}

}  // namespace kvant::ops
