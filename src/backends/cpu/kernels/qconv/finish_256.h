// SPDX-License-Identifier: Apache-2.0
// What 256-bit tiles do with their sums, eight channels at a time, up to the stored results: AVX2 and FMA are
// all it needs. Each file that is compiled for them includes it for itself, hence the unnamed namespace.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/activation/code_curve_avx2.h"
#include "backends/cpu/kernels/qconv/tiles.h"
#include "tensor/sigmoid.h"

#define KVANT_INLINE [[gnu::always_inline]] inline

namespace kvant::backends::cpu {
namespace {

// `count` (1 to 8) residual elements from element `first` on, as reals.
KVANT_INLINE __m256 residual_eight(const Epilogue& e, const uint8_t* residual, int64_t first, int64_t count) {
  if (e.residual == Code::F32) {
    if (count == 8) return _mm256_loadu_ps(reinterpret_cast<const float*>(residual) + first);
    alignas(32) float values[8] = {};
    for (int64_t i = 0; i < count; ++i) values[i] = reinterpret_cast<const float*>(residual)[first + i];
    return _mm256_load_ps(values);
  }
  uint64_t bytes = 0;
  if (count == 8) {
    __builtin_memcpy(&bytes, residual + first, 8);
  } else {
    for (int64_t i = 0; i < count; ++i) bytes |= static_cast<uint64_t>(residual[first + i]) << (8 * i);
  }
  const __m128i codes = _mm_cvtsi64_si128(static_cast<int64_t>(bytes));
  const __m256i wide = e.residual == Code::I8 ? _mm256_cvtepi8_epi32(codes) : _mm256_cvtepu8_epi32(codes);
  return _mm256_cvtepi32_ps(_mm256_sub_epi32(wide, _mm256_set1_epi32(e.residual_zero_point)));
}

// sigmoid() of tensor/sigmoid.h, operation by operation.
KVANT_INLINE __m256 sigmoid_eight(__m256 v) {
  using T = ExponentialTerms;
  const auto all = [](float value) { return _mm256_set1_ps(value); };
  const __m256 x = _mm256_min_ps(all(T::kMost), _mm256_max_ps(all(T::kLeast), _mm256_xor_ps(v, all(-0.0f))));
  const __m256 shifted = _mm256_add_ps(_mm256_mul_ps(x, all(T::kLog2e)), all(T::kRound));
  const __m256 n = _mm256_sub_ps(shifted, all(T::kRound));
  const __m256 r =
      _mm256_sub_ps(_mm256_sub_ps(x, _mm256_mul_ps(n, all(T::kLn2High))), _mm256_mul_ps(n, all(T::kLn2Low)));
  __m256 p = all(T::kTerms[4]);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) p = _mm256_add_ps(_mm256_mul_ps(p, r), all(T::kTerms[i]));
  const __m256 one = all(1.0f);
  const __m256 y = _mm256_add_ps(_mm256_add_ps(_mm256_mul_ps(p, _mm256_mul_ps(r, r)), r), one);
  const int32_t bias = 127 - __builtin_bit_cast(int32_t, T::kRound);
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(bias)), 23);
  return _mm256_div_ps(one, _mm256_add_ps(one, _mm256_mul_ps(y, _mm256_castsi256_ps(power))));
}

// The activation functions that are made of straight pieces, and those of the logistic function, operation by
// operation as activate() has them; false for others. Of two operands the instructions give the second unless
// the first is strictly beyond it, so a NaN passes.
KVANT_INLINE bool vector_activation(const Epilogue& e, __m256& x) {
  const __m256 zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1.0f);
  const __m256 alpha = _mm256_set1_ps(e.alpha), beta = _mm256_set1_ps(e.beta);
  switch (e.activation) {
    case Activation::Relu:
      x = _mm256_max_ps(zero, x);
      return true;
    case Activation::Clip:
      x = _mm256_min_ps(beta, _mm256_max_ps(alpha, x));
      return true;
    case Activation::LeakyRelu:
      x = _mm256_blendv_ps(x, _mm256_mul_ps(alpha, x), _mm256_cmp_ps(x, zero, _CMP_LT_OQ));
      return true;
    case Activation::HardSigmoid:
      x = _mm256_min_ps(one, _mm256_max_ps(zero, _mm256_add_ps(_mm256_mul_ps(alpha, x), beta)));
      return true;
    case Activation::HardSwish: {
      const __m256 ramp = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.0f / 6.0f)), _mm256_set1_ps(0.5f));
      x = _mm256_mul_ps(x, _mm256_min_ps(one, _mm256_max_ps(zero, ramp)));
      return true;
    }
    case Activation::Sigmoid:
      x = sigmoid_eight(x);
      return true;
    case Activation::Silu:
      x = _mm256_mul_ps(x, sigmoid_eight(x));
      return true;
    default:
      return false;
  }
}

KVANT_INLINE __m256 activated_eight(const Epilogue& e, __m256 v, int64_t count) {
  if (e.curve) return curve_units(e, *e.curve, v);
  if (!vector_activation(e, v)) {
    alignas(32) float values[8];
    _mm256_store_ps(values, v);
    for (int64_t i = 0; i < count; ++i) values[i] = activate(e.activation, values[i], e.alpha, e.beta);
    v = _mm256_load_ps(values);
  }
  return e.codes() ? _mm256_mul_ps(v, _mm256_set1_ps(e.inverse_scale)) : v;
}

// The low bytes of eight dwords, in order.
KVANT_INLINE uint64_t low_bytes(__m256i codes) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const __m256i packed = _mm256_shuffle_epi8(codes, order);
  const __m128i bytes =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(bytes));
}

// clamp(round_even(v) + zero_point) as bytes; a NaN rounds to 0, as round_even says.
KVANT_INLINE uint64_t codes_eight(__m256 v, int32_t zero_point, int32_t low, int32_t high) {
  v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
  v = _mm256_min_ps(v, _mm256_set1_ps(static_cast<float>(high - zero_point)));
  v = _mm256_max_ps(v, _mm256_set1_ps(static_cast<float>(low - zero_point)));
  return low_bytes(_mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(zero_point)));
}

KVANT_INLINE void store_codes_eight(uint64_t bytes, uint8_t* y, int64_t count) {
  if (count == 8) {
    __builtin_memcpy(y, &bytes, 8);
  } else {
    for (int64_t i = 0; i < count; ++i) y[i] = static_cast<uint8_t>(bytes >> (8 * i));
  }
}

KVANT_INLINE void store_reals_eight(__m256 v, float* y, int64_t count) {
  if (count == 8) return _mm256_storeu_ps(y, v);
  alignas(32) float values[8];
  _mm256_store_ps(values, v);
  for (int64_t i = 0; i < count; ++i) y[i] = values[i];
}

// Eight channels from `first` on of one pixel: fma(sum, multiplier, bias) to result. Reads and writes only
// the block's channels.
[[gnu::noinline]] void finish_any_values(const TileArgs& a, __m256 v, int64_t first, const uint8_t* residual,
                                         uint8_t* y) {
  const Epilogue& e = *a.epilogue;
  const int64_t count = a.channels - first < 8 ? a.channels - first : 8;
  if (e.residual != Code::None) {
    v = _mm256_fmadd_ps(residual_eight(e, residual, first, count), _mm256_set1_ps(e.residual_multiplier), v);
  }
  if (e.activation != Activation::None) v = activated_eight(e, v, count);
  if (e.codes()) {
    store_codes_eight(codes_eight(v, e.zero_point, e.low, e.high), y + first, count);
  } else {
    store_reals_eight(v, reinterpret_cast<float*>(y) + first, count);
  }
}

// The same, what most layers of a network have without a call.
KVANT_INLINE void finish_values(const TileArgs& a, __m256 v, int64_t first, const uint8_t* residual,
                                uint8_t* y) {
  const Epilogue& e = *a.epilogue;
  if (e.codes() && e.activation == Activation::None && e.residual == Code::None && a.channels - first >= 8) {
    store_codes_eight(codes_eight(v, e.zero_point, e.low, e.high), y + first, 8);
  } else {
    finish_any_values(a, v, first, residual, y);
  }
}

KVANT_INLINE __m256 scaled_eight(const TileArgs& a, __m256i acc, int64_t first) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc), _mm256_loadu_ps(a.multiplier + first),
                         _mm256_loadu_ps(a.bias + first));
}

KVANT_INLINE const uint8_t* residual_row(const TileArgs& a, int64_t pixel) {
  return a.residual == nullptr ? nullptr : a.residual + pixel * a.residual_stride;
}

// Sixteen channels in order.
KVANT_INLINE void finish_sixteen(const TileArgs& a, __m256i low, __m256i high, int64_t pixel) {
  const uint8_t* residual = residual_row(a, pixel);
  uint8_t* y = a.y + pixel * a.y_stride;
  finish_values(a, scaled_eight(a, low, 0), 0, residual, y);
  if (a.channels > 8) finish_values(a, scaled_eight(a, high, 8), 8, residual, y);
}

}  // namespace
}  // namespace kvant::backends::cpu
