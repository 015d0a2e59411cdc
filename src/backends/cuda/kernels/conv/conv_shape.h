// SPDX-License-Identifier: Apache-2.0
// The sizes of a convolution over channels-last tensors.
#pragma once

#include <cstdint>

namespace kvant::backends::cuda {

// x is [n,h,w,c], y is [n,ho,wo,k], weights are [k,kh,kw,c/group].
struct ConvShape {
  int64_t n = 1, h = 1, w = 1, c = 1, k = 1;
  int64_t kh = 1, kw = 1, stride_h = 1, stride_w = 1;
  int64_t top = 0, left = 0;  // padding before; what comes after follows from ho and wo
  int64_t dilation_h = 1, dilation_w = 1, group = 1;
  int64_t ho = 1, wo = 1;

  int64_t group_c() const { return c / group; }
  int64_t group_k() const { return k / group; }
  bool depthwise() const { return group == c && group == k && group > 1; }
  bool pointwise() const { return kh == 1 && kw == 1; }
};

}  // namespace kvant::backends::cuda
