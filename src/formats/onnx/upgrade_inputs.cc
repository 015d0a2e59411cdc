// SPDX-License-Identifier: Apache-2.0
// Attributes that became inputs.
#include "formats/onnx/draft.h"

namespace kvant::formats {
namespace {

// Attribute `name`, when present, becomes the int64 input `index`.
void move_integers(Draft& node, Importing& graph, const char* name, size_t index) {
  if (!node.attributes.has(name)) return;
  const std::vector<int64_t> values = node.attributes.integers(name);
  node.attributes.erase(name);
  node.set_input(index, graph.add_constant(name, Tensor::vector(values)));
}

// Attribute `name`, when present, becomes the scalar input `index`, of the element type of input 0.
void move_real(Draft& node, Importing& graph, const char* name, size_t index) {
  if (!node.attributes.has(name)) return;
  const float value = node.attributes.real(name, 0);
  node.attributes.erase(name);
  const DType dtype = graph.type(node.inputs.at(0)).dtype;
  node.set_input(index, graph.add_constant(name, Tensor::scalar(value).cast(dtype)));
}

}  // namespace

void axes_to_input(Draft& node, Importing& graph) { move_integers(node, graph, "axes", 1); }

void slice_to_inputs(Draft& node, Importing& graph) {
  move_integers(node, graph, "starts", 1);
  move_integers(node, graph, "ends", 2);
  move_integers(node, graph, "axes", 3);
}

void pad_to_inputs(Draft& node, Importing& graph) {
  move_integers(node, graph, "pads", 1);
  if (node.attributes.text("mode", "constant") != "constant") node.attributes.erase("value");
  if (node.has(0)) move_real(node, graph, "value", 2);
}

void clip_to_inputs(Draft& node, Importing& graph) {
  if (!node.has(0)) return;
  move_real(node, graph, "min", 1);
  move_real(node, graph, "max", 2);
}

void dropout_to_inputs(Draft& node, Importing& graph) {
  if (!node.attributes.has("ratio")) return;
  const float ratio = node.attributes.real("ratio", 0.5f);
  node.attributes.erase("ratio");
  node.set_input(1, graph.add_constant("ratio", Tensor::scalar(ratio)));
}

void top_k_to_input(Draft& node, Importing& graph) {
  if (!node.attributes.has("k")) return;
  const int64_t k = node.attributes.integer("k", 0);
  node.attributes.erase("k");
  node.set_input(1, graph.add_constant("k", Tensor::vector<int64_t>({k})));
}

void split_to_input(Draft& node, Importing& graph) { move_integers(node, graph, "split", 1); }

// Before opset 18 equal parts were implied by the number of outputs.
void split_count(Draft& node, Importing&) {
  if (node.has(1) || node.attributes.has("num_outputs")) return;
  node.attributes.set("num_outputs", static_cast<int64_t>(node.outputs.size()));
}

}  // namespace kvant::formats
