// SPDX-License-Identifier: Apache-2.0
// All backends of this build, in order of preference (backends.inc). The CLI hands them to the engine.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "engine/backend.h"

namespace kvant::backends {

std::vector<std::unique_ptr<engine::Backend>> all();
// The same, made once, alive as long as the program.
std::span<const engine::Backend* const> shared();

}  // namespace kvant::backends
