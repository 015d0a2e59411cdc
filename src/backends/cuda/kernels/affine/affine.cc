// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/affine/affine.h"

#include "backends/cuda/kernels/affine/affine_params.h"
#include "backends/cuda/kernels/grid.h"

namespace kvant::backends::cuda {

Launch affine_launch(const AffineDesc& desc, const void* x, const void* multiplier, const void* bias,
                     void* y) {
  const AffineParams p{desc,
                       static_cast<const uint8_t*>(x),
                       static_cast<const float*>(multiplier),
                       static_cast<const float*>(bias),
                       static_cast<uint8_t*>(y),
                       lies_at_multiples_of(4, {x, y})};
  return launch_over("affine_channels", blocks_for(desc.count, 4), 256, p);
}

}  // namespace kvant::backends::cuda
