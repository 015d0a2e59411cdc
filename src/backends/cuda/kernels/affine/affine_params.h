// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the affine kernel, shared by host and device.
#pragma once

#include "backends/cuda/kernels/affine/affine.h"

namespace kvant::backends::cuda {

struct AffineParams {
  AffineDesc desc;
  const uint8_t* x;
  const float* multiplier;
  const float* bias;
  uint8_t* y;
  bool vector;  // four elements lie at a multiple of 4
};

}  // namespace kvant::backends::cuda
