// SPDX-License-Identifier: Apache-2.0
// Pools over channels-last tensors: MaxPoolNhwc, QAveragePool, AveragePoolNhwc and the global forms (a window
// as large as the image).
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

struct PoolShape {
  int64_t n = 1, h = 1, w = 1, c = 1;
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t ho = 1, wo = 1;
};

struct PoolDesc {
  PoolShape shape;
  Code x = Code::U8;  // of y as well, but for averages of codes: y is u8 or i8 as `out` says
  bool average = false;
  bool count_include_pad = false;
  // Averages of codes: v = float(sum (x - x_zero_point)) * (multiplier / float(count)).
  float multiplier = 1;
  int32_t x_zero_point = 0;
  CodeRange out;
};

Launch pool_launch(const PoolDesc& desc, const void* x, void* y);

}  // namespace kvant::backends::cuda
