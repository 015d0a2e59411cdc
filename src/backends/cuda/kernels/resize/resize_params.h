// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the resize kernel, shared by host and device.
#pragma once

#include "backends/cuda/kernels/resize/resize.h"

namespace kvant::backends::cuda {

struct ResizeParams {
  ResizeDesc desc;
  int64_t count;
  const int32_t *first_index, *second_index;
  const double *first_weight, *second_weight;
  const float* x;
  float* y;
};

}  // namespace kvant::backends::cuda
