// SPDX-License-Identifier: Apache-2.0
#include "ops/indexing.h"
#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

std::vector<Tensor> evaluate_gather_elements(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Tensor& indices = args.in(1);
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.rank());
  const std::vector<int64_t> offsets = element_offsets(args.node.op, x.shape(), indices, axis);
  Tensor y(x.dtype(), indices.shape());
  if (y.size() == 0) return {y};
  visit_word(size_of(x.dtype()), [&]<class Word>() {
    const auto* in = reinterpret_cast<const Word*>(x.raw());
    auto* out = reinterpret_cast<Word*>(y.mutable_raw());
    for (const int64_t offset : offsets) *out++ = in[offset];
  });
  return {y};
}

}  // namespace

// y[i][j][k] = x[indices[i][j][k]][j][k] for axis 0, and so on for the other axes.
ir::OpDef gather_elements() {
  return {.name = "GatherElements",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            require_index_dtype(args.node.op, args.inputs[1].dtype);
            return {Type{args.inputs[0].dtype, args.inputs[1].shape}};
          },
          .evaluate = evaluate_gather_elements};
}

}  // namespace kvant::ops
