// SPDX-License-Identifier: Apache-2.0
// Fake-quantize as a differentiable function over the kernels of train/fake_quantize.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace kvant::train::plugin {

struct CodeRanges {
  int64_t axis = -1;             // -1: per tensor
  std::vector<float> low, high;  // codes without zero point: one, or one per channel
  bool batched = false;          // axis 0 of x is the batch
};

// Straight-through for x (ATen's mask: on the rounded value). A scale that requires a gradient gets LSQ's,
// times g = 1 / sqrt(N * high) (Esser et al. 2020, 2.2): N is the number of weights, or of one sample's
// features, that share the scale.
at::Tensor fake_quantize(const at::Tensor& x, const at::Tensor& scale, const CodeRanges& range);

// The same in ATen's operators, for tensors on a card; on the CPU its results are the other's (a scale's
// gradient within the rounding of sums).
at::Tensor fake_quantize_composed(const at::Tensor& x, const at::Tensor& scale, const CodeRanges& range);

// max |x| for each of `channels` along `axis`, or of all of x, in ATen's operators.
at::Tensor magnitudes_composed(const at::Tensor& x, int64_t axis, int64_t channels);

// Sets `scale` from x: each of its elements becomes `momentum` of itself and the rest of the smallest scale
// that covers its part of x. One for which x is all zero (or not finite) stays as it is.
void track_range(const at::Tensor& x, at::Tensor scale, const CodeRanges& range, double momentum);
void track_range_composed(const at::Tensor& x, at::Tensor scale, const CodeRanges& range, double momentum);

}  // namespace kvant::train::plugin
