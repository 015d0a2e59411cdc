// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

Shape joined(const std::vector<Shape>& shapes, int64_t axis_attribute) {
  Shape result = shapes[0];
  const size_t axis = checked_axis("QConcat", axis_attribute, result.size());
  for (size_t i = 1; i < shapes.size(); ++i) {
    bool fits = shapes[i].size() == result.size();
    for (size_t d = 0; fits && d < result.size(); ++d) {
      if (d == axis) continue;
      if (result[d] == kUnknownDim) result[d] = shapes[i][d];
      fits = shapes[i][d] == result[d] || shapes[i][d] == kUnknownDim;
    }
    if (!fits)
      fail("QConcat: input {} is {}; it does not join {} along axis {}", i, to_string(shapes[i]),
           to_string(shapes[0]), axis);
    const bool known = result[axis] != kUnknownDim && shapes[i][axis] != kUnknownDim;
    result[axis] = known ? result[axis] + shapes[i][axis] : kUnknownDim;
  }
  return result;
}

std::vector<Type> infer_q_concat(const ir::InferArgs& args) {
  std::vector<Shape> shapes;
  for (const Type& input : args.inputs) {
    require_same_dtype("QConcat", args.inputs[0].dtype, input.dtype);
    if (!input.shape) return {{args.inputs[0].dtype, std::nullopt}};
    shapes.push_back(*input.shape);
  }
  return {{args.inputs[0].dtype, joined(shapes, args.attributes().integer("axis", 0))}};
}

std::vector<Tensor> evaluate_q_concat(const ir::EvalArgs& args) {
  std::vector<Shape> shapes;
  for (const Tensor* input : args.inputs) {
    if (input == nullptr) fail("QConcat: every input is needed");
    require_same_dtype("QConcat", args.in(0).dtype(), input->dtype());
    shapes.push_back(input->shape());
  }
  const int64_t axis_attribute = args.attributes().integer("axis", 0);
  Tensor y(args.in(0).dtype(), joined(shapes, axis_attribute));
  const size_t axis = checked_axis("QConcat", axis_attribute, y.rank());
  int64_t outer = 1;
  for (size_t d = 0; d < axis; ++d) outer *= y.dim(d);
  std::byte* out = y.mutable_raw();
  for (int64_t o = 0; o < outer; ++o)
    for (const Tensor* input : args.inputs) {
      const size_t bytes = input->byte_size() / static_cast<size_t>(outer);
      if (bytes > 0) std::memcpy(out, input->raw() + static_cast<size_t>(o) * bytes, bytes);
      out += bytes;
    }
  return {y};
}

}  // namespace

ir::OpDef q_concat() {
  return {.name = "QConcat",
          .max_inputs = ir::kVariadic,
          .attributes = {{"axis", ir::AttributeKind::Integer, true}},
          .traits = ir::Trait::Internal | ir::Trait::MovesData,
          .infer = infer_q_concat,
          .evaluate = evaluate_q_concat};
}

}  // namespace kvant::ops
