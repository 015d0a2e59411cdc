// SPDX-License-Identifier: Apache-2.0
// The x86 CPU: own integer kernels, float through oneDNN.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace kvant::backends {

// Name "cpu". Which kernels it offers depends on best_isa(), so on KVANT_MAX_ISA too.
std::unique_ptr<engine::Backend> cpu_backend();

}  // namespace kvant::backends
