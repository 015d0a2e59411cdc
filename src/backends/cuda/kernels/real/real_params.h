// SPDX-License-Identifier: Apache-2.0
// The parameter structs of the float kernels, shared by host and device.
#pragma once

#include "backends/cuda/kernels/real/real.h"

namespace kvant::backends::cuda {

struct RealConvParams {
  int32_t n, h, w_in, ho, wo, kh, kw, stride_h, stride_w, top, left, dilation_h, dilation_w;
  int32_t group, group_c, group_k;
  Activation activation;
  float alpha, beta;
  const float* x;
  const float* w;
  const float* bias;
  const float* residual;
  float* y;
};

struct RealProductParams {
  RealProductDesc desc;
  const float* a;
  const float* b;
  float* y;
};

}  // namespace kvant::backends::cuda
