// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the squeeze-excite kernels, shared by host and device.
#pragma once

#include "backends/cuda/kernels/elementwise/elementwise.h"
#include "backends/cuda/kernels/epilogue.cuh"

namespace kvant::backends::cuda {

// A product of one row of codes with packed weights, rows of `row` bytes, a multiple of 4.
struct ExciteProduct {
  const uint8_t* w;
  EpilogueParams epilogue;
  int32_t row, outputs;
  uint32_t flip;  // brings codes to signed bytes: 0x80808080 for u8
};

struct ExciteParams {
  int32_t pixels, channels;
  int32_t slice;  // channels of a block, a multiple of 16
  bool x_signed;
  float pool_multiplier;
  int32_t pool_zero_point;
  CodeRange pool_out;
  ExciteProduct reduce, expand;
  CodePairDesc scale;
  const uint8_t* x;
  const uint8_t* pooled;
  uint8_t* y;
};

}  // namespace kvant::backends::cuda
