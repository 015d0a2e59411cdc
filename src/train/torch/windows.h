// SPDX-License-Identifier: Apache-2.0
// Sliding windows of Conv and pooling: attributes of a node, and padding as numbers (ONNX auto_pad rules).
#pragma once

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

struct Window {
  explicit Window(const NodeView& node);
  // Attributes filled up for `rank` spatial dimensions; refuses lists of another length.
  Window fitted(size_t rank, const char* what) const;
  // Pads (begin of all axes, then end) for these spatial input sizes and kernel: auto_pad resolved.
  Ints padding(const Ints& sizes, const Ints& kernel) const;

  Ints kernel, strides, pads, dilations;
  std::string auto_pad;
};

// Begin and end pads are equal on every axis.
bool symmetric(const Ints& pads);
// x with its trailing spatial axes padded by `value`: `pads` as ONNX orders them.
at::Tensor pad_spatial(const at::Tensor& x, const Ints& pads, double value);
// Sizes of the axes after batch and channel.
Ints spatial_sizes(const at::Tensor& x);

}  // namespace kvant::train::plugin
