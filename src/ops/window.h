// SPDX-License-Identifier: Apache-2.0
// Sliding windows of convolutions and pools over 1 to 3 spatial axes: attributes checked, padding resolved,
// output sizes computed as ONNX's Conv, MaxPool and AveragePool define them. Attributes are untrusted; every
// bad one is an Error.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "ir/op_def.h"

namespace kvant::ops {

enum class AutoPad { NotSet, SameUpper, SameLower, Valid };

// kernel_shape, strides, dilations, pads (begins, then ends), auto_pad, ceil_mode as the node gives them,
// filled with their defaults and range-checked; one entry for each spatial axis.
struct WindowAttributes {
  std::vector<int64_t> kernel, strides, dilations, pads_begin, pads_end;
  AutoPad auto_pad = AutoPad::NotSet;
  bool ceil_mode = false;
  size_t rank() const { return kernel.size(); }
};

// `kernel` is the window's size where another source than `kernel_shape` knows it (a weight's dimensions;
// kUnknownDim where it does not): then a kernel_shape attribute must agree.
WindowAttributes window_attributes(const ir::Attributes& attributes, std::span<const int64_t> kernel);
// From the required attribute `kernel_shape`.
WindowAttributes window_attributes(const ir::Attributes& attributes);

// One spatial axis of a window over an input of known size.
struct WindowAxis {
  int64_t input = 1, kernel = 1, stride = 1, dilation = 1, pad_begin = 0, pad_end = 0, output = 1;
  int64_t start(int64_t out) const { return out * stride - pad_begin; }
};

// Padding and output size of each axis. Fails where the window does not fit into the padded input.
std::vector<WindowAxis> resolve_windows(const WindowAttributes& window, std::span<const int64_t> input);
// The output's sizes; kUnknownDim where the input's (or kernel's) is.
std::vector<int64_t> window_output_sizes(const WindowAttributes& window, std::span<const int64_t> input);

// Axes brought to exactly three (depth, height, width) by axes of size 1 in front.
using WindowAxes = std::array<WindowAxis, 3>;
WindowAxes three_axes(std::span<const WindowAxis> axes);

// Fails unless `value` is in [low, 2^31); `what` names the attribute.
void require_at_least(std::string_view what, int64_t value, int64_t low);
// Fails unless the rank of an N,C,spatial... tensor allows 1 to 3 spatial axes; returns their number.
size_t spatial_rank(std::string_view op, const Shape& shape);

}  // namespace kvant::ops
