// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the convolution kernels, shared by host and device.
#pragma once

#include <cstdint>

#include "backends/cuda/kernels/epilogue.cuh"

namespace kvant::backends::cuda {

struct ConvParams {
  const uint8_t* x;
  const uint8_t* w;        // packed, see each kernel
  const uint8_t* padding;  // 16 bytes that read as the zero point
  EpilogueParams epilogue;
  int32_t n, h, w_in, ho, wo;
  int32_t kh, kw, stride_h, stride_w, top, left, dilation_h, dilation_w;
  int32_t group, group_c, group_k;
  int32_t padded_c;  // channels of a tap in the packed weights
  int32_t row_k;     // bytes of a packed filter
  int64_t x_pitch;
  int32_t* parts;      // sums of the blocks that share a tile through global memory
  uint32_t* arrivals;  // how many of them are done, by tile; 0 between runs
  uint32_t flip;       // brings codes of x to signed bytes: 0x80808080 for u8
};

}  // namespace kvant::backends::cuda
