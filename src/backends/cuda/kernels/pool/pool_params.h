// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the pool kernels, shared by host and device.
#pragma once

#include "backends/cuda/kernels/pool/pool.h"

namespace kvant::backends::cuda {

struct PoolParams {
  int32_t n, h, w, c, kh, kw, stride_h, stride_w, top, left, bottom, right, dilation_h, dilation_w, ho, wo;
  bool is_signed;  // codes of x
  bool count_include_pad;
  bool vector;  // four channels lie at a multiple of their size
  float multiplier;
  int32_t x_zero_point;
  CodeRange out;
  const uint8_t* x;
  uint8_t* y;
};

}  // namespace kvant::backends::cuda
