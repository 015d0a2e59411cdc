// SPDX-License-Identifier: Apache-2.0
// Evens out the ranges of the channels between layers, without changing what the network computes.
#pragma once

#include "quant/adjust/adjust.h"

namespace kvant::quant {

struct EqualizeReport {
  int64_t links = 0;     // tensors between layers that were changed
  int64_t sweeps = 0;    // over all of them, until nothing changed any more
  int64_t absorbed = 0;  // channels whose bias moved into the next layer
};

// Conv, depthwise Conv, ConvTranspose, Gemm and MatMul with a bias, whose result goes through nothing but
// Relu, Clip(0, high), pooling and flattening of one pixel to layers of that kind, each value read by nobody
// else. The graph's function stays the same but for float rounding, on the data and, absorbed biases excepted
// (their channels are taken to stay above what the data shows), everywhere. Tensors that changed are renamed
// ("..._equalized").
EqualizeReport equalize(AdjustJob& job);

}  // namespace kvant::quant
