// SPDX-License-Identifier: Apache-2.0
// Tiles on 256-bit vpdpbusd over u8 codes by s8 weights, in whichever encoding the including file is compiled
// for.
#pragma once

#include "backends/cpu/kernels/dot_vnni256.h"
#include "backends/cpu/kernels/qconv/dense_256.h"

namespace kvant::backends::cpu {
namespace {

constexpr int kDepthwiseLanes = 32;

// Depthwise: bytes of four taps are interleaved within halves of 16 channels, which puts channel 16h+4r+j
// into lane 8r+4h+j: vector r, half h.
int interleaved_channel(int, int lane) { return lane % 8 / 4 * 16 + lane / 8 * 4 + lane % 4; }

KVANT_INLINE __m256i load_256(const std::byte* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

KVANT_INLINE void interleave_256(const std::byte* x, const int64_t* taps, __m256i (&out)[4]) {
  const __m256i a = load_256(x + taps[0]), b = load_256(x + taps[1]);
  const __m256i c = load_256(x + taps[2]), d = load_256(x + taps[3]);
  const __m256i ab0 = _mm256_unpacklo_epi8(a, b), ab1 = _mm256_unpackhi_epi8(a, b);
  const __m256i cd0 = _mm256_unpacklo_epi8(c, d), cd1 = _mm256_unpackhi_epi8(c, d);
  out[0] = _mm256_unpacklo_epi16(ab0, cd0);
  out[1] = _mm256_unpackhi_epi16(ab0, cd0);
  out[2] = _mm256_unpacklo_epi16(ab1, cd1);
  out[3] = _mm256_unpackhi_epi16(ab1, cd1);
}

// The sums of one pixel in lane order, brought into the order of channels as reals.
KVANT_INLINE void finish_interleaved(const TileArgs& a, const __m256i (&sums)[4], int64_t pixel) {
  __m256 v[4];
#pragma GCC unroll 4
  for (int r = 0; r < 4; ++r) v[r] = scaled_eight(a, sums[r], 8 * r);
  const __m256 ordered[4] = {
      _mm256_permute2f128_ps(v[0], v[1], 0x20), _mm256_permute2f128_ps(v[2], v[3], 0x20),
      _mm256_permute2f128_ps(v[0], v[1], 0x31), _mm256_permute2f128_ps(v[2], v[3], 0x31)};
  const uint8_t* residual = residual_row(a, pixel);
  uint8_t* y = a.y + pixel * a.y_stride;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    if (a.channels > 8 * i) finish_values(a, ordered[i], 8 * i, residual, y);
  }
}

// Reads whole vectors: the driver sees to it that they may be read.
void depthwise_row_vnni256(const DepthwiseArgs& a) {
  const std::byte* x = a.x;
  for (int64_t p = 0; p < a.pixels; ++p, x += a.pixel_stride) {
    __m256i sums[4], dwords[4];
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r)
      sums[r] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.out.start) + r);
    const std::byte* w = a.out.w;
    for (int64_t g = 0; g < a.tap_groups; ++g, w += 4 * 32) {
      interleave_256(x, a.taps + 4 * g, dwords);
#pragma GCC unroll 4
      for (int r = 0; r < 4; ++r) sums[r] = VnniDot::add(sums[r], dwords[r], load_256(w + 32 * r));
    }
    finish_interleaved(a.out, sums, p);
  }
}

constexpr DenseTiles dense_tiles_vnni256() { return dense_tiles_256<VnniDot>(1); }
constexpr DepthwiseTiles depthwise_tiles_vnni256() {
  return {1, kDepthwiseLanes, 4, depthwise_row_vnni256, interleaved_channel, look_up_plain, true};
}

}  // namespace
}  // namespace kvant::backends::cpu
