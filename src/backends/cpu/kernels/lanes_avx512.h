// SPDX-License-Identifier: Apache-2.0
// Masks for the tail of a loop over vectors of 512 bits. In an unnamed namespace, so that no file that is
// compiled for fewer instructions can be linked with these copies.
#pragma once

#include <immintrin.h>

#include <cstdint>

#define KVANT_INLINE [[gnu::always_inline]] inline

namespace kvant::backends::cpu {
namespace {

// The first `count` bytes, all 64 when there are more.
KVANT_INLINE __mmask64 first_lanes(int64_t count) { return count >= 64 ? ~0ull : (1ull << count) - 1; }
// The first `left` of sixteen, all when there are more.
KVANT_INLINE __mmask16 mask_of(int64_t left) {
  return static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
}

}  // namespace
}  // namespace kvant::backends::cpu
