// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

size_t new_axis(const ir::Node& node, size_t rank) {
  return checked_axis(node.op, node.attributes.integer("axis", -1), rank + 1);
}

int64_t depth_of(const Tensor& depth) {
  if (depth.size() != 1) fail("OneHot: depth must be one number, not {}", to_string(depth.shape()));
  return checked_result("OneHot", {depth.cast(DType::Int64).to_ints()[0]})[0];
}

std::vector<Type> infer_one_hot(const ir::InferArgs& args) {
  const DType dtype = args.inputs[2].dtype;
  if (!args.inputs[0].shape) return {Type{dtype, std::nullopt}};
  Shape shape = *args.inputs[0].shape;
  const size_t axis = new_axis(args.node, shape.size());
  const Tensor* depth = args.constants.size() > 1 ? args.constants[1] : nullptr;
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth ? depth_of(*depth) : kUnknownDim);
  return {Type{dtype, shape}};
}

std::vector<Tensor> evaluate_one_hot(const ir::EvalArgs& args) {
  const Tensor& values = args.in(2);
  if (values.shape() != Shape{2})
    fail("OneHot: values must hold [off, on], not {}", to_string(values.shape()));
  const int64_t depth = depth_of(args.in(1));
  Shape shape = args.in(0).shape();
  const size_t axis = new_axis(args.node, shape.size());
  const int64_t inner = count_from(shape, axis);
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), depth);
  Tensor y(values.dtype(), checked_result(args.node.op, shape));
  if (y.size() == 0) return {y};
  const std::vector<int64_t> hot = args.in(0).cast(DType::Int64).to_ints();
  visit_word(size_of(values.dtype()), [&]<class Word>() {
    const auto* choice = reinterpret_cast<const Word*>(values.raw());
    auto* out = reinterpret_cast<Word*>(y.mutable_raw());
    std::fill_n(out, y.size(), choice[0]);
    for (int64_t i = 0; i < static_cast<int64_t>(hot.size()); ++i) {
      int64_t index = hot[static_cast<size_t>(i)];
      if (index < -depth || index >= depth) continue;
      if (index < 0) index += depth;
      out[(i / inner * depth + index) * inner + i % inner] = choice[1];
    }
  });
  return {y};
}

}  // namespace

// A new axis of length depth, holding values[1] at the index and values[0] elsewhere; indices outside
// [-depth, depth) give values[0] all along.
ir::OpDef one_hot() {
  return {.name = "OneHot",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = {{"axis", ir::AttributeKind::Integer}},
          .infer = infer_one_hot,
          .evaluate = evaluate_one_hot};
}

}  // namespace kvant::ops
