// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/layout.h"

#include <algorithm>

#include "ops/window.h"

namespace kvant::engine {

const std::vector<int64_t>& to_nhwc_axes() {
  static const std::vector<int64_t> axes = {0, 2, 3, 1};
  return axes;
}

const std::vector<int64_t>& to_nchw_axes() {
  static const std::vector<int64_t> axes = {0, 3, 1, 2};
  return axes;
}

ir::ValueId to_nhwc(Edit& edit, ir::ValueId value) {
  return edit.value("Transpose", edit.graph().value(value).name + "_nhwc", {value},
                    {{"perm", to_nhwc_axes()}}, {});
}

ir::ValueId to_nchw(Edit& edit, ir::ValueId value, const std::vector<ir::NodeId>& from) {
  return edit.value("Transpose", edit.graph().value(value).name + "_nchw", {value},
                    {{"perm", to_nchw_axes()}}, from);
}

std::optional<Window> window_of(const ir::Graph& graph, const ir::Node& node,
                                const std::vector<int64_t>& kernel) {
  const auto x = static_shape(graph, node.inputs[0]);
  if (!x || x->size() != 4) return std::nullopt;
  const ops::WindowAttributes attributes = kernel.empty() ? ops::window_attributes(node.attributes)
                                                          : ops::window_attributes(node.attributes, kernel);
  const std::vector<int64_t> spatial = {(*x)[2], (*x)[3]};
  const std::vector<ops::WindowAxis> axes = ops::resolve_windows(attributes, spatial);
  Window window;
  std::vector<int64_t> ends;
  for (const ops::WindowAxis& axis : axes) {
    window.kernel.push_back(axis.kernel);
    window.strides.push_back(axis.stride);
    window.dilations.push_back(axis.dilation);
    window.pads.push_back(axis.pad_begin);
    // What the last window needs beyond the input: exactly the end pad, or more with ceil_mode.
    const int64_t needed =
        (axis.output - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1 - axis.pad_begin - axis.input;
    window.widened = window.widened || needed > axis.pad_end;
    ends.push_back(std::max(needed, axis.pad_end));
  }
  window.pads.insert(window.pads.end(), ends.begin(), ends.end());
  return window;
}

bool reduces_plane(const ir::Graph& graph, const ir::Node& node) {
  const auto shape = static_shape(graph, node.inputs[0]);
  if (!shape || shape->size() != 4) return false;
  std::vector<int64_t> axes = node.attributes.integers("axes");
  if (const Tensor* given = graph.constant(input_at(node, 1))) axes = given->to_ints();
  for (int64_t& axis : axes) axis = normalize_axis(axis, 4);
  std::ranges::sort(axes);
  return axes == std::vector<int64_t>{2, 3};
}

void set_window(ir::Attributes& attributes, const Window& window) {
  attributes.set("strides", window.strides);
  attributes.set("pads", window.pads);
  attributes.set("dilations", window.dilations);
}

}  // namespace kvant::engine
