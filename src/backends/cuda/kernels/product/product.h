// SPDX-License-Identifier: Apache-2.0
// Products of two tensors of codes that both come at run time (QMatMul), in batches.
#pragma once

#include <array>
#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// y[b,m,n] = sum over k of (a[b,m,k] - za) * (b[b,k,n] - zb), times multiplier, as f32 or codes. Strides in
// elements, so that transposed factors and results need no copy; batch has up to 3 axes.
struct ProductDesc {
  static constexpr int kBatchRank = 3;
  int64_t m = 1, n = 1, k = 1;
  std::array<int64_t, kBatchRank> batch{1, 1, 1}, a_batch{}, b_batch{}, y_batch{};
  int64_t a_row = 0, a_column = 1, b_row = 0, b_column = 1, y_row = 0, y_column = 1;
  bool a_signed = false, b_signed = false;
  int32_t a_zero_point = 0, b_zero_point = 0;
  float multiplier = 1;
  Code output = Code::F32;
  CodeRange out;
};
Launch product_launch(const ProductDesc& desc, const void* a, const void* b, void* y);

}  // namespace kvant::backends::cuda
