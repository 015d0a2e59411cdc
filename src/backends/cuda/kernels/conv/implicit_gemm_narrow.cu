// SPDX-License-Identifier: Apache-2.0
// Implicit GEMM: images whose channels are not multiples of 16, and stems.
#include "backends/cuda/kernels/conv/implicit_gemm.cuh"

namespace kvant::backends::cuda {

#define KVANT_NARROW_TILE(name, blocks, rows, columns, inner, m, n, k, stages, cluster, fetch) \
  KVANT_KERNEL(conv_##name, m* n* k * 32, blocks, ConvParams,                                  \
               device::implicit_gemm<                                                          \
                   device::Tile<rows, columns, inner, m, n, k, stages, cluster, device::Fetch::fetch>>)
#include "backends/cuda/kernels/conv/tiles.inc"

}  // namespace kvant::backends::cuda
