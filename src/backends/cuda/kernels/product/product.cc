// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/product/product.h"

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/product/product_params.h"

namespace kvant::backends::cuda {

Launch product_launch(const ProductDesc& desc, const void* a, const void* b, void* y) {
  const int64_t batch = desc.batch[0] * desc.batch[1] * desc.batch[2];
  if (batch > 65535 || blocks_for(desc.n, 64) > 65535)
    fail("cuda: a product of {} matrices with {} columns is more than a grid takes", batch, desc.n);
  Launch launch = launch_over("product_codes", blocks_for(desc.m, 64) * 256, 256,
                              ProductParams{desc, static_cast<const uint8_t*>(a),
                                            static_cast<const uint8_t*>(b), static_cast<uint8_t*>(y)});
  launch.grid.y = static_cast<unsigned>(blocks_for(desc.n, 64));
  launch.grid.z = static_cast<unsigned>(batch);
  launch.shared_bytes = 2 * 64 * 17 * 4;
  return launch;
}

}  // namespace kvant::backends::cuda
