// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/excite/excite.cuh"

namespace kvant::backends::cuda {

KVANT_KERNEL(excite_channels, 256, 2, ExciteParams, device::excite_channels)

}  // namespace kvant::backends::cuda
