// SPDX-License-Identifier: Apache-2.0
// Softmax over any axis and layer normalization over rows of floats, to floats or (the Q behind them taken
// in) to codes. Computed in double as the operators are, so that codes are the definition's.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// clamp(round_even(x / scale) + zero_point, low, high); F32: x as it is.
struct RowOutput {
  Code output = Code::F32;
  float scale = 1;
  CodeRange out;
};

// Rows of `columns` elements that stand `inner` elements apart: x is [rows / inner, columns, inner].
Launch softmax_launch(const RowOutput& out, int64_t rows, int64_t columns, int64_t inner, const void* x,
                      void* y);

struct LayerNormDesc {
  float epsilon = 1e-5f;
  int64_t rows = 1, columns = 1;
  RowOutput out;
};
// gain and bias (nullptr: none) have `columns` elements.
Launch layer_norm_launch(const LayerNormDesc& desc, const void* x, const void* gain, const void* bias,
                         void* y);

}  // namespace kvant::backends::cuda
