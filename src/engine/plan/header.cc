// SPDX-License-Identifier: Apache-2.0
#include "engine/plan/header.h"

#include <cstddef>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace kvant::engine {

uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t checksum_of(const PlanHeader& header) {
  return XXH3_64bits(&header, offsetof(PlanHeader, header_check));
}

}  // namespace kvant::engine
