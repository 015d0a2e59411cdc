// SPDX-License-Identifier: Apache-2.0
// Convolutions by warpgroup products: instructions of sm_90a, which later capabilities do not have.
#include "backends/cuda/kernels/conv/warpgroup_gemm.cuh"

namespace kvant::backends::cuda {

#define KVANT_WARPGROUP_TILE(name, blocks, warpgroups, columns, inner, stages)  \
  KVANT_KERNEL(conv_##name, warpgroups * 128 + 32, blocks, WarpgroupConvParams, \
               device::warpgroup_gemm<device::WarpgroupTile<warpgroups, columns, inner, stages>>)
#include "backends/cuda/kernels/conv/warpgroup_tiles.inc"

}  // namespace kvant::backends::cuda
