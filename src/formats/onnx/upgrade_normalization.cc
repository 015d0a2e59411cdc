// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "formats/onnx/draft.h"

namespace kvant::formats {
namespace {

// values[g] repeated `times` times each.
Tensor repeat_each(const Tensor& values, int64_t times) {
  Tensor result(values.dtype(), {values.size() * times});
  const size_t bytes = size_of(values.dtype());
  std::byte* out = result.mutable_raw();
  for (int64_t i = 0; i < result.size(); ++i) {
    std::memcpy(out + static_cast<size_t>(i) * bytes, values.raw() + static_cast<size_t>(i / times) * bytes,
                bytes);
  }
  return result;
}

// The channel count of `x` (its dimension 1), or kUnknownDim.
int64_t channels_of(const ir::Type& x) {
  return x.shape && x.shape->size() > 1 ? (*x.shape)[1] : kUnknownDim;
}

// A parameter for each group as one for each channel: [G] -> [G,1] -> [G,C/G] -> [C].
ir::ValueId per_channel(Draft& node, Importing& graph, size_t input, int64_t groups) {
  const int64_t channels = channels_of(graph.type(node.inputs[0]));
  const Tensor* constant = graph.constant(node.inputs[input]);
  if (constant != nullptr && channels != kUnknownDim && constant->size() == groups &&
      channels % groups == 0) {
    return graph.add_constant(input == 1 ? "scale" : "bias", repeat_each(*constant, channels / groups));
  }
  const auto vector = [&](std::vector<int64_t> values) {
    return graph.add_constant("shape", Tensor::vector(values));
  };
  const ir::ValueId total =
      graph.add("Shape", {node.inputs[0]}, {{"start", int64_t{1}}, {"end", int64_t{2}}});
  const ir::ValueId each = graph.add("Div", {total, vector({groups})});
  const ir::ValueId target = graph.add("Concat", {vector({groups}), each}, {{"axis", int64_t{0}}});
  const ir::ValueId column = graph.add("Reshape", {node.inputs[input], vector({groups, 1})});
  return graph.add("Reshape", {graph.add("Expand", {column, target}), vector({-1})});
}

}  // namespace

// Before opset 14 the number of outputs said whether the node trains; before 9 there was `spatial`.
void batch_normalization_mode(Draft& node, Importing& graph) {
  if (node.attributes.integer("spatial", 1) == 0) {
    fail(
        "BatchNormalization '{}' normalizes each activation by itself (spatial = 0), which kvant does not "
        "support",
        node.name);
  }
  node.attributes.erase("spatial");
  for (size_t i = 1; i < node.outputs.size(); ++i) {
    if (graph.wanted(node.outputs[i])) {
      fail(
          "BatchNormalization '{}' is in training form (output '{}' is used); export the model for inference",
          node.name, node.outputs[i]);
    }
  }
  if (node.outputs.size() > 1) node.outputs.resize(1);
}

// Opset 18 had scale and bias for each group; 21 has them for each channel.
void group_normalization_channels(Draft& node, Importing& graph) {
  const int64_t groups = node.attributes.integer("num_groups", 0);
  if (groups < 1 || !node.has(0) || !node.has(1) || !node.has(2)) return;  // verification names what lacks
  const ir::ValueId scale = per_channel(node, graph, 1, groups);
  const ir::ValueId bias = per_channel(node, graph, 2, groups);
  node.inputs = {node.inputs[0], scale, bias};
}

}  // namespace kvant::formats
