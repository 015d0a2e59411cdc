// SPDX-License-Identifier: Apache-2.0
// An NVIDIA card, or the emulator in its place: integer kernels of its own, everything else falls back to the
// host.
#pragma once

#include <memory>

#include "backends/cuda/device.h"
#include "engine/backend.h"

namespace kvant::backends {

// Name "cuda". Plans are for the card's compute capability; they hold "sm_90" as what they need.
std::unique_ptr<engine::Backend> cuda_backend(std::shared_ptr<cuda::Device> device);

}  // namespace kvant::backends
