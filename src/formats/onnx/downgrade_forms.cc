// SPDX-License-Identifier: Apache-2.0
// Inputs that were attributes, attributes that had one meaning only.
#include <algorithm>

#include "ir/graph.h"

namespace kvant::formats {
namespace {

ir::ValueId input(const ir::Graph& graph, ir::NodeId id, size_t index) {
  const ir::Node& node = graph.node(id);
  return index < node.inputs.size() ? node.inputs[index] : ir::kNone;
}

// Drops an attribute that has its default; false when it says something else.
bool drop_default(ir::Graph& graph, ir::NodeId id, const char* name, int64_t fallback = 0) {
  if (graph.node(id).attributes.integer(name, fallback) != fallback) return false;
  graph.attributes(id).erase(name);
  return true;
}

bool drop_default(ir::Graph& graph, ir::NodeId id, const char* name, const char* fallback) {
  if (graph.node(id).attributes.text(name, fallback) != fallback) return false;
  graph.attributes(id).erase(name);
  return true;
}

void cut_inputs(ir::Graph& graph, ir::NodeId id, size_t count) {
  std::vector<ir::ValueId> inputs = graph.node(id).inputs;
  if (inputs.size() > count) inputs.resize(count);
  graph.set_inputs(id, std::move(inputs));
}

const std::optional<Shape>& input_shape(const ir::Graph& graph, ir::NodeId id) {
  return graph.value(graph.node(id).inputs[0]).type.shape;
}

}  // namespace

bool axes_to_attribute(ir::Graph& graph, ir::NodeId id) {
  const ir::ValueId axes = input(graph, id, 1);
  const Tensor* constant = graph.constant(axes);
  if (axes != ir::kNone && constant == nullptr) return false;
  const bool none = constant == nullptr || constant->size() == 0;
  if (none && graph.node(id).attributes.integer("noop_with_empty_axes", 0) != 0) return false;
  if (!none) graph.attributes(id).set("axes", constant->to_ints());
  graph.attributes(id).erase("noop_with_empty_axes");
  cut_inputs(graph, id, 1);
  return true;
}

bool drop_training_mode(ir::Graph& graph, ir::NodeId id) { return drop_default(graph, id, "training_mode"); }

bool drop_ceil_mode(ir::Graph& graph, ir::NodeId id) { return drop_default(graph, id, "ceil_mode"); }

bool pool_without_dilations(ir::Graph& graph, ir::NodeId id) {
  const std::vector<int64_t> dilations = graph.node(id).attributes.integers("dilations");
  if (std::any_of(dilations.begin(), dilations.end(), [](int64_t d) { return d != 1; })) return false;
  graph.attributes(id).erase("dilations");
  return true;
}

// Without allowzero a 0 in the shape means "as in the input".
bool drop_allowzero(ir::Graph& graph, ir::NodeId id) {
  if (drop_default(graph, id, "allowzero")) return true;
  const Tensor* shape = graph.constant(input(graph, id, 1));
  if (shape == nullptr) return false;
  const std::vector<int64_t> dims = shape->to_ints();
  if (std::find(dims.begin(), dims.end(), 0) != dims.end()) return false;
  graph.attributes(id).erase("allowzero");
  return true;
}

bool shape_whole(ir::Graph& graph, ir::NodeId id) {
  return !graph.node(id).attributes.has("end") && drop_default(graph, id, "start");
}

// Equal parts are implied by the outputs; parts of unequal size need the length of the axis.
bool split_explicitly(ir::Graph& graph, ir::NodeId id) {
  const ir::Node& node = graph.node(id);
  const int64_t parts = node.attributes.integer("num_outputs", 0);
  graph.attributes(id).erase("num_outputs");
  if (input(graph, id, 1) != ir::kNone) return true;
  const std::optional<Shape>& shape = input_shape(graph, id);
  if (parts < 1 || !shape) return false;
  const int64_t axis = normalize_axis(node.attributes.integer("axis", 0), shape->size());
  const int64_t length = (*shape)[static_cast<size_t>(axis)];
  if (length == kUnknownDim) return false;
  if (length % parts == 0) return true;
  std::vector<int64_t> sizes(static_cast<size_t>(parts), (length + parts - 1) / parts);
  sizes.back() = length - sizes.front() * (parts - 1);
  graph.set_inputs(id, {node.inputs[0], graph.add_constant(node.name + "_split", Tensor::vector(sizes))});
  return true;
}

bool pad_without_wrap(ir::Graph& graph, ir::NodeId id) {
  return graph.node(id).attributes.text("mode", "constant") != "wrap";
}

// Pads for some axes become pads for all.
bool pad_all_axes(ir::Graph& graph, ir::NodeId id) {
  const ir::ValueId axes_input = input(graph, id, 3);
  if (axes_input == ir::kNone) return true;
  const Tensor* axes = graph.constant(axes_input);
  const Tensor* pads = graph.constant(input(graph, id, 1));
  const std::optional<Shape>& shape = input_shape(graph, id);
  if (axes == nullptr || pads == nullptr || !shape) return false;
  const std::vector<int64_t> some = pads->to_ints();
  const std::vector<int64_t> listed = axes->to_ints();
  const size_t rank = shape->size();
  std::vector<int64_t> all(2 * rank, 0);
  for (size_t i = 0; i < listed.size(); ++i) {
    const auto axis = static_cast<size_t>(normalize_axis(listed[i], rank));
    all[axis] = some.at(i);
    all[rank + axis] = some.at(listed.size() + i);
  }
  const ir::ValueId full = graph.add_constant(graph.node(id).name + "_pads", Tensor::vector(all));
  graph.set_inputs(id, {graph.node(id).inputs[0], full, input(graph, id, 2)});
  return true;
}

bool resize_modes(ir::Graph& graph, ir::NodeId id) {
  return graph.node(id).attributes.text("coordinate_transformation_mode", "half_pixel") !=
         "half_pixel_symmetric";
}

bool resize_plain(ir::Graph& graph, ir::NodeId id) {
  return !graph.node(id).attributes.has("axes") && drop_default(graph, id, "antialias") &&
         drop_default(graph, id, "keep_aspect_ratio_policy", "stretch");
}

bool roi_align_half_pixel(ir::Graph& graph, ir::NodeId id) {
  if (graph.node(id).attributes.text("coordinate_transformation_mode", "half_pixel") != "output_half_pixel")
    return false;
  graph.attributes(id).erase("coordinate_transformation_mode");
  return true;
}

bool scatter_without_extremes(ir::Graph& graph, ir::NodeId id) {
  const std::string reduction = graph.node(id).attributes.text("reduction", "none");
  return reduction != "min" && reduction != "max";
}

bool scatter_plain(ir::Graph& graph, ir::NodeId id) { return drop_default(graph, id, "reduction", "none"); }

// Opset 20 also brought volumes.
bool grid_sample_old_names(ir::Graph& graph, ir::NodeId id) {
  const std::optional<Shape>& shape = input_shape(graph, id);
  if (!shape || shape->size() != 4) return false;
  const std::string mode = graph.node(id).attributes.text("mode", "linear");
  if (mode == "linear") graph.attributes(id).set("mode", std::string("bilinear"));
  if (mode == "cubic") graph.attributes(id).set("mode", std::string("bicubic"));
  return true;
}

}  // namespace kvant::formats
