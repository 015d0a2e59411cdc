// SPDX-License-Identifier: Apache-2.0
// Attributes and names that changed, defaults that moved, and what opsets above ir::kIrOpset added.
#include "formats/onnx/draft.h"
#include "formats/onnx/tensor_proto.h"

namespace kvant::formats {

void scatter_to_elements(Draft& node, Importing&) { node.op = "ScatterElements"; }

void roi_align_corners(Draft& node, Importing&) {
  node.attributes.set("coordinate_transformation_mode", std::string("output_half_pixel"));
}

void grid_sample_modes(Draft& node, Importing&) {
  const std::string mode = node.attributes.text("mode", "bilinear");
  if (mode == "bilinear") node.attributes.set("mode", std::string("linear"));
  if (mode == "bicubic") node.attributes.set("mode", std::string("cubic"));
}

// They say how float8 results saturate and round, and kvant has no float8 results.
void drop_float8_attributes(Draft& node, Importing&) {
  node.attributes.erase("saturate");
  node.attributes.erase("round_mode");
}

// The integer type of a quantization may be told by an attribute; here it is always the zero point's.
void quantize_type_to_zero_point(Draft& node, Importing& graph) {
  const std::string what = "QuantizeLinear '" + node.name + "'";
  const int64_t precision = node.attributes.integer("precision", 0);
  if (precision > 1) fail("{} divides in another precision than FP32, which kvant does not support", what);
  node.attributes.erase("precision");
  if (node.attributes.integer("block_size", 0) == 0) node.attributes.erase("block_size");
  const int64_t number = node.attributes.integer("output_dtype", 0);
  node.attributes.erase("output_dtype");
  if (number == 0 || node.has(2) || !node.has(1)) return;
  const DType dtype = dtype_of_number(static_cast<int>(number), "the output of " + what);
  const ir::Type& scale = graph.type(node.inputs[1]);
  if (!scale.is_static()) fail("{} has neither a zero point nor a scale of known shape", what);
  node.set_input(2, graph.add_constant("zero_point", Tensor(dtype, *scale.shape)));
}

// Opset 23 lets the result differ from the scale's type.
void dequantize_scale_type(Draft& node, Importing& graph) {
  if (node.attributes.integer("block_size", 0) == 0) node.attributes.erase("block_size");
  const int64_t number = node.attributes.integer("output_dtype", 0);
  node.attributes.erase("output_dtype");
  if (number == 0 || !node.has(1)) return;
  const DType wanted =
      dtype_of_number(static_cast<int>(number), "the output of DequantizeLinear '" + node.name + "'");
  if (wanted == graph.type(node.inputs[1]).dtype) return;
  const ir::ValueId result = graph.add("DequantizeLinear", node.inputs, node.attributes);
  node.op = "Cast";
  node.inputs = {result};
  node.attributes = {{"to", static_cast<int64_t>(onnx_number(wanted))}};
}

void space_to_depth_mode(Draft& node, Importing&) {
  const std::string mode = node.attributes.text("mode", "DCR");
  if (mode != "DCR") fail("SpaceToDepth '{}' has mode '{}'; only DCR is supported", node.name, mode);
  node.attributes.erase("mode");
}

void range_precision(Draft& node, Importing&) { node.attributes.erase("stash_type"); }

}  // namespace kvant::formats
