// SPDX-License-Identifier: Apache-2.0
// Dense tiles of sixteen channels in 256-bit registers, for any instruction that adds products of a dword's
// parts to sums: Dot::add(sums, activations, weights), of pairs of int16 (AVX2) or of four u8 by s8 (VNNI).
#pragma once

#include "backends/cpu/kernels/qconv/finish_256.h"

namespace kvant::backends::cpu {
namespace {

template <class Dot, int pixels>
void tile_256(const TileArgs& a) {
  __m256i low[pixels], high[pixels];
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) {
    low[p] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.start));
    high[p] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.start + 8));
  }
  const std::byte* w = a.w;
  for (int64_t i = 0; i < a.segment_rows; ++i) {
    for (int64_t j = 0; j < a.segment_columns; ++j) {
      const std::byte* x = a.x + i * a.row_step + j * a.column_step;
      for (int64_t k = 0; k < a.dwords; ++k, x += 4, w += 64) {
        const __m256i w0 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
        const __m256i w1 = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 32));
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) {
          int32_t dword;
          __builtin_memcpy(&dword, x + p * a.pixel_stride, 4);
          const __m256i codes = _mm256_set1_epi32(dword);
          low[p] = Dot::add(low[p], codes, w0);
          high[p] = Dot::add(high[p], codes, w1);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) finish_sixteen(a, low[p], high[p], p);
}

constexpr int kLanes256 = 16;

int same_channel(int, int lane) { return lane; }

// `element` as in DenseTiles.
template <class Dot>
constexpr DenseTiles dense_tiles_256(int element) {
  return {element,
          1,
          {{kLanes256,
            6,
            {nullptr, tile_256<Dot, 1>, tile_256<Dot, 2>, tile_256<Dot, 3>, tile_256<Dot, 4>,
             tile_256<Dot, 5>, tile_256<Dot, 6>}},
           {},
           {}},
          same_channel};
}

}  // namespace
}  // namespace kvant::backends::cpu
