// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/resize/resize.h"

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/resize/resize_params.h"

namespace kvant::backends::cuda {

Launch resize_launch(const ResizeDesc& desc, const ResizeTables& tables, const void* x, void* y) {
  ResizeParams p{};
  p.desc = desc;
  p.count = desc.outer * desc.first_output * desc.between * desc.second_output * desc.inner;
  p.first_index = static_cast<const int32_t*>(tables.first_index);
  p.first_weight = static_cast<const double*>(tables.first_weight);
  p.second_index = static_cast<const int32_t*>(tables.second_index);
  p.second_weight = static_cast<const double*>(tables.second_weight);
  p.x = static_cast<const float*>(x), p.y = static_cast<float*>(y);
  return launch_over("resize_reals", p.count, 256, p);
}

}  // namespace kvant::backends::cuda
