// SPDX-License-Identifier: Apache-2.0
// Tiles on vpmaddwd over int16 codes (zero point taken off): exact for all codes, unlike vpmaddubsw, whose
// sums of two products saturate at 16 bits.
#include "backends/cpu/kernels/qconv/dense_256.h"

namespace kvant::backends::cpu {
namespace {

struct Int16Pairs {
  KVANT_INLINE static __m256i add(__m256i sums, __m256i codes, __m256i weights) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(codes, weights));
  }
};

void depthwise_row(const DepthwiseArgs& a) {
  for (int64_t p = 0; p < a.pixels; ++p) {
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.out.start));
    __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.out.start + 8));
    const std::byte* w = a.out.w;
    for (int64_t t = 0; t < a.tap_groups; ++t, w += 32) {
      // The slab has slack behind its end, so whole vectors may be read; lanes beyond the channels are not
      // stored.
      const std::byte* x = a.x + p * a.pixel_stride + a.taps[t];
      const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
      const __m256i weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
      const __m256i c0 = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(codes));
      const __m256i c1 = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(codes, 1));
      low = _mm256_add_epi32(low,
                             _mm256_mullo_epi32(c0, _mm256_cvtepi16_epi32(_mm256_castsi256_si128(weights))));
      high = _mm256_add_epi32(
          high, _mm256_mullo_epi32(c1, _mm256_cvtepi16_epi32(_mm256_extracti128_si256(weights, 1))));
    }
    finish_sixteen(a.out, low, high, p);
  }
}

}  // namespace

constinit const DenseTiles kTiles6x16Avx2 = dense_tiles_256<Int16Pairs>(2);
const DepthwiseTiles kDepthwise16Avx2 = {2, kLanes256, 1, depthwise_row, same_channel};

}  // namespace kvant::backends::cpu
