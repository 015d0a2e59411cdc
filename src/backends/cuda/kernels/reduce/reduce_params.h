// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the reduction kernel, shared by host and device.
#pragma once

#include "backends/cuda/kernels/reduce/reduce.h"

namespace kvant::backends::cuda {

struct ReduceParams {
  ReduceDesc desc;
  int32_t lanes;  // threads of a result: 32 or 1
  int64_t results, terms;
  const float* x;
  float* y;
};

}  // namespace kvant::backends::cuda
