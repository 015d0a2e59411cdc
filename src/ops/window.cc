// SPDX-License-Identifier: Apache-2.0
#include "ops/window.h"

#include <algorithm>

namespace kvant::ops {
namespace {

AutoPad auto_pad_named(const std::string& name) {
  if (name == "NOTSET" || name.empty()) return AutoPad::NotSet;
  if (name == "SAME_UPPER") return AutoPad::SameUpper;
  if (name == "SAME_LOWER") return AutoPad::SameLower;
  if (name == "VALID") return AutoPad::Valid;
  fail("auto_pad is '{}'; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", name);
}

std::vector<int64_t> per_axis(const ir::Attributes& attributes, std::string_view name, size_t rank,
                              int64_t fallback, int64_t low) {
  std::vector<int64_t> values = attributes.integers(name);
  if (values.empty()) values.assign(rank, fallback);
  if (values.size() != rank)
    fail("{} has {} entries; the window has {} spatial axes", name, values.size(), rank);
  for (const int64_t value : values) require_at_least(name, value, low);
  return values;
}

int64_t ceil_divide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Kernel's extent with dilation; below 2^62 because both factors are below 2^31.
int64_t extent(const WindowAxis& axis) { return (axis.kernel - 1) * axis.dilation + 1; }

void resolve_same(WindowAxis& axis, bool upper) {
  axis.output = ceil_divide(axis.input, axis.stride);
  const int64_t total = std::max<int64_t>((axis.output - 1) * axis.stride + extent(axis) - axis.input, 0);
  axis.pad_begin = upper ? total / 2 : total - total / 2;
  axis.pad_end = total - axis.pad_begin;
}

WindowAxis resolve_axis(const WindowAttributes& window, size_t i, int64_t input) {
  WindowAxis axis{.input = input,
                  .kernel = window.kernel[i],
                  .stride = window.strides[i],
                  .dilation = window.dilations[i]};
  if (window.auto_pad == AutoPad::SameUpper || window.auto_pad == AutoPad::SameLower) {
    resolve_same(axis, window.auto_pad == AutoPad::SameUpper);
    return axis;
  }
  if (window.auto_pad == AutoPad::NotSet) {
    axis.pad_begin = window.pads_begin[i];
    axis.pad_end = window.pads_end[i];
  }
  const int64_t room = input + axis.pad_begin + axis.pad_end - extent(axis);
  if (room < 0)
    fail("the window of {} elements does not fit into spatial axis {} of {} elements with padding {} and {}",
         extent(axis), i, input, axis.pad_begin, axis.pad_end);
  axis.output = room / axis.stride + 1;
  // A further window for the rest, unless it would start in the padding behind the input.
  if (window.ceil_mode && room % axis.stride != 0 && axis.output * axis.stride < input + axis.pad_begin)
    ++axis.output;
  return axis;
}

}  // namespace

void require_at_least(std::string_view what, int64_t value, int64_t low) {
  if (value < low || value >= (int64_t{1} << 31))
    fail("{} holds {}; values from {} to 2^31 are allowed", what, value, low);
}

size_t spatial_rank(std::string_view op, const Shape& shape) {
  if (shape.size() < 3 || shape.size() > 5)
    fail("{} takes tensors of 3 to 5 dimensions (batch, channels, 1 to 3 spatial axes); this one is {}", op,
         to_string(shape));
  return shape.size() - 2;
}

WindowAttributes window_attributes(const ir::Attributes& attributes, std::span<const int64_t> kernel) {
  WindowAttributes window;
  const size_t rank = kernel.size();
  window.kernel.assign(kernel.begin(), kernel.end());
  const std::vector<int64_t> declared = attributes.integers("kernel_shape");
  if (!declared.empty()) {
    if (declared.size() != rank)
      fail("kernel_shape has {} entries; the window has {} spatial axes", declared.size(), rank);
    for (size_t i = 0; i < rank; ++i) {
      if (window.kernel[i] == kUnknownDim) window.kernel[i] = declared[i];
      if (window.kernel[i] != declared[i])
        fail("kernel_shape says {} for spatial axis {}; the weight has {}", declared[i], i, window.kernel[i]);
    }
  }
  int64_t volume = 1;
  for (const int64_t size : window.kernel) {
    if (size == kUnknownDim) continue;
    require_at_least("kernel_shape", size, 1);
    volume *= size;
    require_at_least("the volume of kernel_shape", volume, 1);
  }
  window.strides = per_axis(attributes, "strides", rank, 1, 1);
  window.dilations = per_axis(attributes, "dilations", rank, 1, 1);
  std::vector<int64_t> pads = attributes.integers("pads");
  if (pads.empty()) pads.assign(2 * rank, 0);
  if (pads.size() != 2 * rank)
    fail("pads has {} entries; {} are needed, a begin and an end for each of {} spatial axes", pads.size(),
         2 * rank, rank);
  for (const int64_t pad : pads) require_at_least("pads", pad, 0);
  window.pads_begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank));
  window.pads_end.assign(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end());
  window.auto_pad = auto_pad_named(attributes.text("auto_pad", "NOTSET"));
  window.ceil_mode = attributes.integer("ceil_mode", 0) != 0;
  return window;
}

WindowAttributes window_attributes(const ir::Attributes& attributes) {
  const std::vector<int64_t> kernel = attributes.integers("kernel_shape");
  if (kernel.empty() || kernel.size() > 3)
    fail("kernel_shape has {} entries; windows over 1 to 3 spatial axes are supported", kernel.size());
  for (const int64_t size : kernel) require_at_least("kernel_shape", size, 1);
  return window_attributes(attributes, kernel);
}

std::vector<WindowAxis> resolve_windows(const WindowAttributes& window, std::span<const int64_t> input) {
  if (input.size() != window.rank())
    fail("the window has {} spatial axes; the input has {}", window.rank(), input.size());
  std::vector<WindowAxis> axes;
  for (size_t i = 0; i < input.size(); ++i) axes.push_back(resolve_axis(window, i, input[i]));
  return axes;
}

std::vector<int64_t> window_output_sizes(const WindowAttributes& window, std::span<const int64_t> input) {
  if (input.size() != window.rank())
    fail("the window has {} spatial axes; the input has {}", window.rank(), input.size());
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < input.size(); ++i) {
    const bool known = input[i] != kUnknownDim && window.kernel[i] != kUnknownDim;
    sizes.push_back(known ? resolve_axis(window, i, input[i]).output : kUnknownDim);
  }
  return sizes;
}

WindowAxes three_axes(std::span<const WindowAxis> axes) {
  KVANT_CHECK(axes.size() <= 3, "at most three spatial axes");
  WindowAxes result;
  std::copy(axes.begin(), axes.end(), result.begin() + static_cast<std::ptrdiff_t>(3 - axes.size()));
  return result;
}

}  // namespace kvant::ops
