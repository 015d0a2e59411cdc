// SPDX-License-Identifier: Apache-2.0
// Tensor maps of a launch (kernels/tensor_map.h) as the driver encodes them for the hardware.
#pragma once

#include "backends/cuda/driver_api.h"
#include "backends/cuda/kernels/launch.h"

namespace kvant::backends::cuda {

// Replaces the plain descriptions among the launch's parameters. Fails (Error), naming the kernel, when the
// driver refuses one.
void encode_tensor_maps(const driver::Api& api, Launch& launch);

}  // namespace kvant::backends::cuda
