// SPDX-License-Identifier: Apache-2.0
// Before opset 13 Softmax, LogSoftmax and Hardmax saw their input as a matrix: dimensions before `axis` times
// the rest.
#include <algorithm>

#include "formats/onnx/draft.h"

namespace kvant::formats {
namespace {

// The one axis that is the same as all axes from `axis` on together, if there is one.
std::optional<int64_t> sole_axis(const std::optional<Shape>& shape, int64_t axis) {
  if (!shape) return axis == -1 ? std::optional<int64_t>(-1) : std::nullopt;
  const auto first = shape->begin() + normalize_axis(axis, shape->size());
  const auto is_one = [](int64_t dim) { return dim == 1; };
  const auto ones = std::count_if(first, shape->end(), is_one);
  const auto others = (shape->end() - first) - ones;
  if (others == 0) return axis;
  if (others > 1) return std::nullopt;
  return std::find_if_not(first, shape->end(), is_one) - shape->begin();
}

}  // namespace

void softmax_unflatten(Draft& node, Importing& graph) {
  if (!node.has(0)) return;
  const int64_t axis = node.attributes.integer("axis", 1);
  const ir::ValueId x = node.inputs[0];
  const ir::Type type = graph.type(x);
  if (const auto sole = sole_axis(type.shape, axis)) {
    node.attributes.set("axis", *sole);
    return;
  }
  const ir::ValueId shape =
      type.is_static() ? graph.add_constant("shape", Tensor::vector(*type.shape)) : graph.add("Shape", {x});
  const ir::ValueId matrix = graph.add("Flatten", {x}, {{"axis", axis}});
  const ir::ValueId result = graph.add(node.op, {matrix}, {{"axis", int64_t{1}}});
  node.op = "Reshape";
  node.inputs = {result, shape};
  node.attributes = {};
}

}  // namespace kvant::formats
