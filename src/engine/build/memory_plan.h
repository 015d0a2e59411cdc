// SPDX-License-Identifier: Apache-2.0
// Where each tensor of a plan lives in the arena.
#pragma once

#include "engine/plan/plan.h"

namespace kvant::engine {

// Fills offsets and arena_bytes: largest tensor first or first made first, whichever takes less, each into
// the smallest gap that fits between the tensors placed already whose lifetimes overlap its own.
// Deterministic.
void plan_memory(Plan& plan);

}  // namespace kvant::engine
