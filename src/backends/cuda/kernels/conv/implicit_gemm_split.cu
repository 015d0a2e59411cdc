// SPDX-License-Identifier: Apache-2.0
// Implicit GEMM: tiles whose inner dimension is shared by blocks that meet in global memory, for small maps
// where there are no clusters.
#include "backends/cuda/kernels/conv/implicit_gemm.cuh"

namespace kvant::backends::cuda {

#define KVANT_SPLIT_TILE(name, blocks, rows, columns, inner, m, n, k, stages, cluster, fetch, split) \
  KVANT_KERNEL(                                                                                      \
      conv_##name, m* n* k * 32, blocks, ConvParams,                                                 \
      device::implicit_gemm<                                                                         \
          device::Tile<rows, columns, inner, m, n, k, stages, cluster, device::Fetch::fetch, split>>)
#include "backends/cuda/kernels/conv/tiles.inc"

}  // namespace kvant::backends::cuda
