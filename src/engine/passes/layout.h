// SPDX-License-Identifier: Apache-2.0
// Transposes between channels-first and channels-last, and windows with their padding resolved.
#pragma once

#include "engine/passes/edit.h"

namespace kvant::engine {

// perm attributes: [N,C,H,W] -> [N,H,W,C] and back.
const std::vector<int64_t>& to_nhwc_axes();
const std::vector<int64_t>& to_nchw_axes();
ir::ValueId to_nhwc(Edit& edit, ir::ValueId value);
ir::ValueId to_nchw(Edit& edit, ir::ValueId value, const std::vector<ir::NodeId>& from);

// strides, pads and dilations of a 2-D Conv or pool as explicit numbers; auto_pad is resolved and ceil_mode
// becomes wider end pads. Nothing when the node is not 2-D or its shapes are not known. `kernel`: from the
// weight, or empty.
struct Window {
  std::vector<int64_t> kernel, strides, pads, dilations;
  bool widened = false;  // ceil_mode made the end pads wider than declared
};
std::optional<Window> window_of(const ir::Graph& graph, const ir::Node& node,
                                const std::vector<int64_t>& kernel);
// Whether a ReduceMean takes the mean over the two spatial axes of a 4-D tensor.
bool reduces_plane(const ir::Graph& graph, const ir::Node& node);
void set_window(ir::Attributes& attributes, const Window& window);

}  // namespace kvant::engine
