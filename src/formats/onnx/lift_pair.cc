// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/lift_pair.h"

namespace kvant::formats {

void require_inputs(const Draft& node, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (!node.has(i)) fail("{} '{}' lacks its input {}", node.op, node.name, i);
  }
}

ir::ValueId scalar_or_vector(Importing& graph, ir::ValueId value, const std::string& what) {
  if (value == ir::kNone) return value;
  const std::optional<Shape> shape = graph.type(value).shape;
  if (!shape || shape->empty()) return value;
  if (shape->size() > 1) {
    fail(
        "{} has a scale or zero point of shape {}; one number, or one for each channel, row or column is "
        "supported",
        what, to_string(*shape));
  }
  if (shape->front() != 1) return value;
  if (const Tensor* constant = graph.constant(value))
    return graph.add_constant("scalar", constant->reshaped({}));
  return graph.add("Reshape", {value, graph.add_constant("shape", Tensor(DType::Int64, {0}))});
}

ir::ValueId dequantized(Importing& graph, ir::ValueId codes, ir::ValueId scale, ir::ValueId zero_point,
                        int64_t axis, const std::string& what) {
  const ir::ValueId zero = scalar_or_vector(graph, zero_point, what);
  ir::ValueId factor = scalar_or_vector(graph, scale, what);
  const auto rank = [&](ir::ValueId v) {
    const auto& shape = graph.type(v).shape;
    return shape ? shape->size() : 0;
  };
  if (factor == ir::kNone) {
    const bool vector = zero != ir::kNone && rank(zero) == 1;
    if (vector && !graph.type(zero).is_static()) fail("{} has a zero point of unknown size", what);
    factor = graph.add_constant("scale", Tensor::full(vector ? *graph.type(zero).shape : Shape{}, 1.0f));
  }
  std::vector<ir::ValueId> inputs = {codes, factor};
  if (zero != ir::kNone) inputs.push_back(zero);
  if (rank(factor) == 0) return graph.add("DequantizeLinear", std::move(inputs));
  return graph.add("DequantizeLinear", std::move(inputs), {{"axis", axis}});
}

}  // namespace kvant::formats
