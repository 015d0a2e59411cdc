// SPDX-License-Identifier: Apache-2.0
// Upsample (7, 9) and Resize 10 place samples as today's Resize does with "asymmetric" and "floor".
#include "formats/onnx/draft.h"

namespace kvant::formats {
namespace {

void place_as_before_11(Draft& node) {
  node.attributes.set("coordinate_transformation_mode", std::string("asymmetric"));
  if (node.attributes.text("mode", "nearest") == "nearest") {
    node.attributes.set("nearest_mode", std::string("floor"));
  }
  node.inputs = {node.input(0), ir::kNone, node.input(1)};
}

}  // namespace

void upsample_scales_to_input(Draft& node, Importing& graph) {
  if (!node.attributes.has("scales")) return;
  const std::vector<float> scales = node.attributes.reals("scales");
  node.attributes.erase("scales");
  node.set_input(1, graph.add_constant("scales", Tensor::vector(scales)));
}

void upsample_to_resize(Draft& node, Importing&) {
  node.op = "Resize";
  // "bilinear" was never a mode of the standard, but early Caffe2 exports have it.
  if (node.attributes.text("mode", "nearest") == "bilinear") {
    node.attributes.set("mode", std::string("linear"));
  }
  place_as_before_11(node);
}

// Not for nodes that were Upsample a moment ago: they have their three inputs.
void resize_scales_position(Draft& node, Importing&) {
  if (node.inputs.size() == 2) place_as_before_11(node);
}

// Opsets 11 and 12 had "tf_half_pixel_for_nn", half a sample further than "half_pixel": t = h + 0.5. So
// floor(t) is h rounded half up, and t rounded half down is ceil(h).
void resize_half_pixel_for_nearest(Draft& node, Importing&) {
  ir::Attributes& attributes = node.attributes;
  if (attributes.text("coordinate_transformation_mode", "half_pixel") != "tf_half_pixel_for_nn") return;
  const std::string mode = attributes.text("mode", "nearest");
  const std::string rounding = attributes.text("nearest_mode", "round_prefer_floor");
  if (mode != "nearest" || (rounding != "floor" && rounding != "round_prefer_floor")) {
    fail("Resize '{}': tf_half_pixel_for_nn with mode {} and nearest_mode {} is not supported", node.name,
         mode, rounding);
  }
  attributes.set("coordinate_transformation_mode", std::string("half_pixel"));
  attributes.set("nearest_mode", std::string(rounding == "floor" ? "round_prefer_ceil" : "ceil"));
}

// Exporters write empty tensors for inputs that are not meant (roi was required in opset 11).
void resize_drop_empty(Draft& node, Importing& graph) {
  const bool crops =
      node.attributes.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize";
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    const Tensor* constant = graph.constant(node.inputs[i]);
    if ((constant != nullptr && constant->size() == 0) || (i == 1 && !crops)) node.inputs[i] = ir::kNone;
  }
}

}  // namespace kvant::formats
