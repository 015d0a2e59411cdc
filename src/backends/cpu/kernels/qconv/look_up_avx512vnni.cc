// SPDX-License-Identifier: Apache-2.0
// Tables of codes over what a tile has just stored. For GCC bug 105593 see tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {
namespace {

// The table in four registers: a code's lower seven bits choose within each half, its top bit the half.
__attribute__((target("avx512vbmi"))) void look_up_pixels(const uint8_t* table, uint8_t* y, int64_t stride,
                                                          int64_t pixels, int64_t channels) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (int64_t p = 0; p < pixels; ++p, y += stride) {
    for (int64_t at = 0; at < channels; at += 64) {
      const __mmask64 lanes = channels - at >= 64 ? ~0ull : (1ull << (channels - at)) - 1;
      const __m512i codes = _mm512_maskz_loadu_epi8(lanes, y + at);
      const __m512i lower = _mm512_permutex2var_epi8(t0, codes, t1);
      const __m512i upper = _mm512_permutex2var_epi8(t2, codes, t3);
      _mm512_mask_storeu_epi8(y + at, lanes, _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(codes), upper));
    }
  }
}

}  // namespace

void look_up_avx512(const CodeTable& table, uint8_t* y, int64_t stride, int64_t pixels, int64_t channels) {
  if (stride == channels) {  // pixels side by side: whole vectors of narrow ones
    channels *= pixels;
    pixels = 1;
  }
  if (__builtin_cpu_supports("avx512vbmi")) {
    look_up_pixels(table.data(), y, stride, pixels, channels);
  } else {
    look_up_plain(table, y, stride, pixels, channels);
  }
}

}  // namespace kvant::backends::cpu
