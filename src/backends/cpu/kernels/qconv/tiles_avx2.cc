// SPDX-License-Identifier: Apache-2.0
// Tiles on vpmaddwd over int16 codes (zero point taken off): exact for all codes, unlike vpmaddubsw.
#include <immintrin.h>

#include "backends/cpu/kernels/activation/code_curve_avx2.h"
#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {
namespace {

#define KVANT_INLINE [[gnu::always_inline]] inline

constexpr int kLanes = 16;

int same_channel(int, int lane) { return lane; }

// Eight channels from `first` on of one pixel: acc to result. Reads and writes only the block's channels.
KVANT_INLINE void finish_eight(const TileArgs& a, __m256i acc, int64_t first, const uint8_t* residual,
                               uint8_t* y) {
  const Epilogue& e = *a.epilogue;
  const int64_t count = a.channels - first < 8 ? a.channels - first : 8;
  __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(a.multiplier + first),
                             _mm256_loadu_ps(a.bias + first));
  alignas(32) float values[8] = {};
  if (e.residual != Code::None) {
    for (int64_t i = 0; i < count; ++i) values[i] = residual_at(e, residual, first + i);
    v = _mm256_fmadd_ps(_mm256_load_ps(values), _mm256_set1_ps(e.residual_multiplier), v);
  }
  if (e.curve) {
    v = curve_units(e, *e.curve, v);
  } else if (e.activation != Activation::None) {
    _mm256_store_ps(values, v);
    for (int64_t i = 0; i < count; ++i) values[i] = activate(e.activation, values[i], e.alpha, e.beta);
    v = _mm256_load_ps(values);
    if (e.codes()) v = _mm256_mul_ps(v, _mm256_set1_ps(e.inverse_scale));
  }
  if (!e.codes()) {
    _mm256_store_ps(values, v);
    for (int64_t i = 0; i < count; ++i) reinterpret_cast<float*>(y)[first + i] = values[i];
    return;
  }
  v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));  // a NaN rounds to 0
  v = _mm256_min_ps(v, _mm256_set1_ps(static_cast<float>(e.high - e.zero_point)));
  v = _mm256_max_ps(v, _mm256_set1_ps(static_cast<float>(e.low - e.zero_point)));
  alignas(32) int32_t codes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(codes),
                     _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(e.zero_point)));
  for (int64_t i = 0; i < count; ++i) y[first + i] = static_cast<uint8_t>(codes[i]);
}

KVANT_INLINE void finish_pixel(const TileArgs& a, __m256i low, __m256i high, int64_t pixel) {
  const uint8_t* residual = a.residual == nullptr ? nullptr : a.residual + pixel * a.residual_stride;
  uint8_t* y = a.y + pixel * a.y_stride;
  finish_eight(a, low, 0, residual, y);
  if (a.channels > 8) finish_eight(a, high, 8, residual, y);
}

template <int pixels>
void tile(const TileArgs& a) {
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
          int32_t pair;
          __builtin_memcpy(&pair, x + p * a.pixel_stride, 4);
          const __m256i codes = _mm256_set1_epi32(pair);
          low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(codes, w0));
          high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(codes, w1));
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int p = 0; p < pixels; ++p) finish_pixel(a, low[p], high[p], p);
}

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
    finish_pixel(a.out, low, high, p);
  }
}

}  // namespace

const DenseTiles kTiles6x16Avx2 = {
    2,
    1,
    {{kLanes, 6, {nullptr, tile<1>, tile<2>, tile<3>, tile<4>, tile<5>, tile<6>}}, {}, {}},
    same_channel};
const DepthwiseTiles kDepthwise16Avx2 = {2, kLanes, 1, depthwise_row, same_channel};

}  // namespace kvant::backends::cpu
