// SPDX-License-Identifier: Apache-2.0
// Float convolution and products of matrices for what is not quantized: ConvNhwc, Linear, MatMul. FP32 sums.
#pragma once

#include <array>
#include <cstdint>

#include "backends/cuda/kernels/conv/conv_shape.h"
#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

struct RealConvDesc {
  ConvShape shape;  // Linear: h = 1, w = rows, c = K, k = N of a 1x1 window
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
};
// Weights are [k,c/group,kh,kw] as ONNX has them; bias and residual may be nullptr.
Launch real_conv_launch(const RealConvDesc& desc, const void* x, const void* w, const void* bias,
                        const void* residual, void* y);

// y[b,m,n] = sum a[b,m,k] * b[b,k,n]; strides in elements, batch has up to 3 axes (0 where broadcast).
struct RealProductDesc {
  static constexpr int kBatchRank = 3;
  int64_t m = 1, n = 1, k = 1;
  std::array<int64_t, kBatchRank> batch{1, 1, 1}, a_batch{}, b_batch{}, y_batch{};
  int64_t a_row = 0, a_column = 1, b_row = 0, b_column = 1, y_row = 0, y_column = 1;
};
Launch real_product_launch(const RealProductDesc& desc, const void* a, const void* b, void* y);

}  // namespace kvant::backends::cuda
