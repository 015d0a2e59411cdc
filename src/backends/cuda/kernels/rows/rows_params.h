// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the row kernels, shared by host and device.
#pragma once

#include "backends/cuda/kernels/rows/rows.h"

namespace kvant::backends::cuda {

struct RowsParams {
  RowOutput out;
  float epsilon;
  int64_t rows, columns;
  const float* x;
  const float* gain;
  const float* bias;
  uint8_t* y;
  int64_t inner;  // elements from one of a row to the next
};

}  // namespace kvant::backends::cuda
