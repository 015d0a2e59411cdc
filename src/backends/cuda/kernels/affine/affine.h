// SPDX-License-Identifier: Apache-2.0
// Codes through a factor and a term of each channel to codes (QChannelAffine).
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// v = float(x - x_zero_point) * x_scale; v = v * multiplier[c] + bias[c], rounded twice; clamped below at 0
// if `relu`; codes of v / y_scale.
struct AffineDesc {
  int64_t count = 0, channels = 1;  // channels are the last axis
  bool x_signed = false, relu = false;
  int32_t x_zero_point = 0;
  float x_scale = 1, y_scale = 1;
  CodeRange out;
};
Launch affine_launch(const AffineDesc& desc, const void* x, const void* multiplier, const void* bias,
                     void* y);

}  // namespace kvant::backends::cuda
