// SPDX-License-Identifier: Apache-2.0
// Torch's random generator, whose header is too heavy for more than one file.
#pragma once

#include <cstdint>

namespace kvant::train::plugin {

void seed_torch(uint64_t seed);

}  // namespace kvant::train::plugin
