// SPDX-License-Identifier: Apache-2.0
// Every operator through its reference evaluation: the oracle of other backends and their fallback.
#pragma once

#include <memory>

#include "engine/backend.h"

namespace kvant::backends {

// One tactic, "reference", for every operator of ops::standard() with static types. Packed constants are the
// inputs' indices (i64) and then the constants themselves. Runs on the calling thread and copies inputs and
// outputs.
std::unique_ptr<engine::Backend> reference_backend();

}  // namespace kvant::backends
