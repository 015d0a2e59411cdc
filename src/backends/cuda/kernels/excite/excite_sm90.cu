// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/excite/excite.cuh"

namespace kvant::backends::cuda {

KVANT_KERNEL(excite_cluster, 256, 2, ExciteParams, device::excite_cluster)

}  // namespace kvant::backends::cuda
