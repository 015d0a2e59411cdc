// SPDX-License-Identifier: Apache-2.0
// Fake-quantize as a differentiable function over the kernels of train/fake_quantize.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace kvant::train::plugin {

struct CodeRanges {
  int64_t axis = -1;             // -1: per tensor
  std::vector<float> low, high;  // codes without zero point: one, or one per channel
};

// Straight-through for x (ATen's mask: on the rounded value). A scale that requires a gradient gets LSQ's,
// times 1 / sqrt(N * high), N the elements that share one scale.
at::Tensor fake_quantize(const at::Tensor& x, const at::Tensor& scale, const CodeRanges& range);

}  // namespace kvant::train::plugin
