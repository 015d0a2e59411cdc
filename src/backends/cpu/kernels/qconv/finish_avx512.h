// SPDX-License-Identifier: Apache-2.0
// What AVX-512 tiles do with their sums, up to the stored codes. Output channels of a block are permuted over
// the lanes (channel_of_lane) so that the in-lane pack instructions give them back in order. Each file that
// is compiled for AVX-512 includes it for itself, hence the unnamed namespace.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/activation/code_curve_avx512.h"
#include "backends/cpu/kernels/lanes_avx512.h"
#include "backends/cpu/kernels/qconv/tiles.h"
#include "tensor/sigmoid.h"

namespace kvant::backends::cpu {
namespace {

// Lane 16r+4l+j of a block of V vectors holds channel 4V*l + 4r + j.
int channel_of_lane(int lanes, int lane) {
  const int vectors = lanes / 16, vector = lane / 16, quarter = lane % 16 / 4, j = lane % 4;
  return 4 * vectors * quarter + 4 * vector + j;
}

// ---- Epilogue without activation to codes: what nearly every layer of a network has.
// -------------------------------

struct CodeConstants {
  __m512 high;  // high - zero_point: before rounding, so that the conversion cannot overflow upwards
  __m512i zero_point16, low;
  __m512 residual_multiplier;
  __m512i residual_zero_point, residual_flip;
  bool is_signed;
};

KVANT_INLINE CodeConstants code_constants(const Epilogue& e) {
  const bool flip = e.residual == Code::I8;
  return {_mm512_set1_ps(static_cast<float>(e.high - e.zero_point)),
          _mm512_set1_epi16(static_cast<int16_t>(e.zero_point)),
          _mm512_set1_epi16(static_cast<int16_t>(e.low)),
          _mm512_set1_ps(e.residual_multiplier),
          _mm512_set1_epi32(e.residual_zero_point + (flip ? 128 : 0)),
          _mm512_set1_epi8(static_cast<char>(flip ? 0x80 : 0)),
          e.output == Code::I8};
}

// The residual codes of a pixel's block as V vectors of int32 in lane order.
template <int V>
KVANT_INLINE void load_residual(const uint8_t* residual, __mmask64 lanes, __m512i flip, __m512i (&out)[V]) {
  const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(lanes, residual), flip);
  if constexpr (V == 4) {
    const __m512i first =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3, -1, -1, -1));
#pragma GCC unroll 4
    for (int r = 0; r < V; ++r)
      out[r] = _mm512_shuffle_epi8(bytes, _mm512_add_epi32(first, _mm512_set1_epi32(4 * r)));
  } else if constexpr (V == 2) {
    const __m512i words = _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes));
    out[0] = _mm512_unpacklo_epi16(words, _mm512_setzero_si512());
    out[1] = _mm512_unpackhi_epi16(words, _mm512_setzero_si512());
  } else {
    out[0] = _mm512_cvtepu8_epi32(_mm512_castsi512_si128(bytes));
  }
}

// Codes of V vectors of rounded values: packed in order, clamped below (above was done before rounding),
// stored.
template <int V>
KVANT_INLINE void store_codes(const CodeConstants& c, const __m512i* q, __mmask64 lanes, uint8_t* y) {
  if constexpr (V == 4) {
    __m512i a = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), c.zero_point16);
    __m512i b = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), c.zero_point16);
    a = _mm512_max_epi16(a, c.low);
    b = _mm512_max_epi16(b, c.low);
    const __m512i bytes = c.is_signed ? _mm512_packs_epi16(a, b) : _mm512_packus_epi16(a, b);
    if (lanes == ~0ull) {
      _mm512_storeu_si512(y, bytes);
    } else {
      _mm512_mask_storeu_epi8(y, lanes, bytes);
    }
  } else {
    __m512i words =
        V == 2 ? _mm512_packs_epi32(q[0], q[V - 1]) : _mm512_castsi256_si512(_mm512_cvtsepi32_epi16(q[0]));
    words = _mm512_max_epi16(_mm512_adds_epi16(words, c.zero_point16), c.low);
    _mm256_mask_storeu_epi8(y, static_cast<__mmask32>(lanes), _mm512_cvtepi16_epi8(words));
  }
}

// `values`: V vectors of reals, before the residual.
template <int V>
KVANT_INLINE void finish_residual(const TileArgs& a, const CodeConstants& c, const __m512i* values,
                                  int64_t pixel, __mmask64 lanes) {
  __m512i r[V], q[V];
  load_residual<V>(a.residual + pixel * a.residual_stride, lanes, c.residual_flip, r);
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) {
    const __m512 v = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(r[i], c.residual_zero_point)),
                                     c.residual_multiplier, _mm512_castsi512_ps(values[i]));
    q[i] = _mm512_cvtps_epi32(_mm512_min_ps(v, c.high));
  }
  store_codes<V>(c, q, lanes, a.y + pixel * a.y_stride);
}

// ---- Epilogue of any form, over a row of values in channel order.
// ---------------------------------------------------

KVANT_INLINE __m512 any_residual(const Epilogue& e, const uint8_t* residual, int64_t i, __mmask16 mask) {
  if (e.residual == Code::F32)
    return _mm512_maskz_loadu_ps(mask, reinterpret_cast<const float*>(residual) + i);
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, residual + i);
  const __m512i codes = e.residual == Code::I8 ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(codes, _mm512_set1_epi32(e.residual_zero_point)));
}

// clamp(round_even(v) + zero_point): a NaN rounds to 0, as round_even says.
KVANT_INLINE __m128i any_codes(const Epilogue& e, __m512 v) {
  v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
  v = _mm512_min_ps(v, _mm512_set1_ps(static_cast<float>(e.high - e.zero_point)));
  v = _mm512_max_ps(v, _mm512_set1_ps(static_cast<float>(e.low - e.zero_point)));
  return _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(e.zero_point)));
}

// The activation functions that are made of straight pieces, operation by operation as activate() has them.
constexpr bool is_straight(Activation activation) {
  return activation == Activation::Relu || activation == Activation::Clip ||
         activation == Activation::LeakyRelu || activation == Activation::HardSigmoid ||
         activation == Activation::HardSwish;
}

// x < low ? low : x, then > high ? high: of two operands these instructions give the second unless the first
// is strictly beyond it, so a NaN passes and so does a zero's sign.
KVANT_INLINE __m512 clip(__m512 x, __m512 low, __m512 high) {
  return _mm512_min_ps(high, _mm512_max_ps(low, x));
}

template <Activation activation>
KVANT_INLINE __m512 straight(__m512 x, __m512 alpha, __m512 beta) {
  const __m512 zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
  if constexpr (activation == Activation::Relu) {
    return _mm512_max_ps(zero, x);
  } else if constexpr (activation == Activation::Clip) {
    return clip(x, alpha, beta);
  } else if constexpr (activation == Activation::LeakyRelu) {
    return _mm512_mask_mul_ps(x, _mm512_cmp_ps_mask(x, zero, _CMP_LT_OQ), alpha, x);
  } else if constexpr (activation == Activation::HardSigmoid) {
    return clip(_mm512_add_ps(_mm512_mul_ps(alpha, x), beta), zero, one);
  } else {
    static_assert(activation == Activation::HardSwish);
    const __m512 ramp = _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.0f / 6.0f)), _mm512_set1_ps(0.5f));
    return _mm512_mul_ps(x, clip(ramp, zero, one));
  }
}

// use.template operator()<activation>() of one that is_straight().
template <class Use>
KVANT_INLINE void with_straight(Activation activation, const Use& use) {
  switch (activation) {
    case Activation::Relu:
      return use.template operator()<Activation::Relu>();
    case Activation::Clip:
      return use.template operator()<Activation::Clip>();
    case Activation::LeakyRelu:
      return use.template operator()<Activation::LeakyRelu>();
    case Activation::HardSigmoid:
      return use.template operator()<Activation::HardSigmoid>();
    default:
      return use.template operator()<Activation::HardSwish>();
  }
}

// sigmoid() of tensor/sigmoid.h, operation by operation.
KVANT_INLINE __m512 sigmoid_sixteen(__m512 v) {
  using T = ExponentialTerms;
  const auto all = [](float value) { return _mm512_set1_ps(value); };
  const __m512 x = clip(_mm512_xor_ps(v, all(-0.0f)), all(T::kLeast), all(T::kMost));
  const __m512 shifted = _mm512_add_ps(_mm512_mul_ps(x, all(T::kLog2e)), all(T::kRound));
  const __m512 n = _mm512_sub_ps(shifted, all(T::kRound));
  const __m512 r =
      _mm512_sub_ps(_mm512_sub_ps(x, _mm512_mul_ps(n, all(T::kLn2High))), _mm512_mul_ps(n, all(T::kLn2Low)));
  __m512 p = all(T::kTerms[4]);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) p = _mm512_add_ps(_mm512_mul_ps(p, r), all(T::kTerms[i]));
  const __m512 one = all(1.0f);
  const __m512 y = _mm512_add_ps(_mm512_add_ps(_mm512_mul_ps(p, _mm512_mul_ps(r, r)), r), one);
  const int32_t bias = 127 - __builtin_bit_cast(int32_t, T::kRound);
  const __m512i power =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(bias)), 23);
  return _mm512_div_ps(one, _mm512_add_ps(one, _mm512_mul_ps(y, _mm512_castsi512_ps(power))));
}

KVANT_INLINE bool activate_vector(const Epilogue& e, __m512& x) {
  if (e.activation == Activation::Sigmoid || e.activation == Activation::Silu) {
    const __m512 gate = sigmoid_sixteen(x);
    x = e.activation == Activation::Sigmoid ? gate : _mm512_mul_ps(x, gate);
    return true;
  }
  if (!is_straight(e.activation)) return false;
  const __m512 alpha = _mm512_set1_ps(e.alpha), beta = _mm512_set1_ps(e.beta);
  with_straight(e.activation, [&]<Activation activation>() { x = straight<activation>(x, alpha, beta); });
  return true;
}

[[gnu::noinline]] void finish_any(const Epilogue& e, float* values, int64_t channels, const uint8_t* residual,
                                  uint8_t* y) {
  for (int64_t i = 0; i < channels; i += 16) {
    const __mmask16 mask = static_cast<__mmask16>(first_lanes(channels - i));
    __m512 v = _mm512_loadu_ps(values + i);
    if (e.residual != Code::None) {
      v = _mm512_fmadd_ps(any_residual(e, residual, i, mask), _mm512_set1_ps(e.residual_multiplier), v);
    }
    if (e.activation != Activation::None) {
      if (!activate_vector(e, v)) {
        _mm512_storeu_ps(values + i, v);
        for (int64_t j = i; j < i + 16 && j < channels; ++j) {
          values[j] = activate(e.activation, values[j], e.alpha, e.beta);
        }
        v = _mm512_loadu_ps(values + i);
      }
      if (e.codes()) v = _mm512_mul_ps(v, _mm512_set1_ps(e.inverse_scale));
    }
    if (e.codes()) {
      _mm_mask_storeu_epi8(y + i, mask, any_codes(e, v));
    } else {
      _mm512_mask_storeu_ps(reinterpret_cast<float*>(y) + i, mask, v);
    }
  }
}

template <int V>
KVANT_INLINE void finish_slowly(const TileArgs& a, const __m512i* reals, int64_t pixel) {
  alignas(64) float values[16 * V];
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) {
    const __m512 v = _mm512_castsi512_ps(reals[i]);
    _mm_store_ps(values + 4 * i, _mm512_castps512_ps128(v));
    _mm_store_ps(values + 4 * i + 4 * V, _mm512_extractf32x4_ps(v, 1));
    _mm_store_ps(values + 4 * i + 8 * V, _mm512_extractf32x4_ps(v, 2));
    _mm_store_ps(values + 4 * i + 12 * V, _mm512_extractf32x4_ps(v, 3));
  }
  const uint8_t* residual = a.residual == nullptr ? nullptr : a.residual + pixel * a.residual_stride;
  finish_any(*a.epilogue, values, a.channels, residual, a.y + pixel * a.y_stride);
}

// `pixels` pixels of V vectors each, still in lane order, to codes: `units` makes of V vectors of values what
// is rounded.
template <int V, class Units>
KVANT_INLINE void finish_units(const TileArgs& a, const float* values, int64_t first_pixel, int pixels,
                               const Units& units) {
  const CodeConstants c = code_constants(*a.epilogue);
  const __mmask64 lanes = first_lanes(a.channels);
  const bool residual = a.epilogue->residual != Code::None;
  for (int p = 0; p < pixels; ++p, values += 16 * V) {
    const int64_t pixel = first_pixel + p;
    __m512i r[V], q[V];
    __m512 v[V], t[V];
    if (residual) load_residual<V>(a.residual + pixel * a.residual_stride, lanes, c.residual_flip, r);
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      v[i] = _mm512_load_ps(values + 16 * i);
      if (residual) {
        v[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(r[i], c.residual_zero_point)),
                               c.residual_multiplier, v[i]);
      }
    }
    units(v, t);
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) q[i] = _mm512_cvtps_epi32(_mm512_min_ps(t[i], c.high));
    store_codes<V>(c, q, lanes, a.y + pixel * a.y_stride);
  }
}

template <int V>
[[gnu::noinline]] void finish_curve(const TileArgs& a, const float* values, int64_t first_pixel, int pixels) {
  const Epilogue& e = *a.epilogue;
  const CurveRegisters curve(*e.curve);
  finish_units<V>(a, values, first_pixel, pixels, [&](const __m512(&v)[V], __m512(&t)[V]) {
    __mmask16 unsure[V], any = 0;
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      t[i] = curve_units(curve, v[i], unsure[i]);
      any |= unsure[i];
    }
    if (__builtin_expect(any != 0, 0)) {
      for (int i = 0; i < V; ++i) t[i] = curve_redone(e, v[i], t[i], unsure[i]);
    }
  });
}

template <int V, Activation activation>
[[gnu::noinline]] void finish_straight(const TileArgs& a, const float* values, int64_t first_pixel,
                                       int pixels) {
  const Epilogue& e = *a.epilogue;
  const __m512 alpha = _mm512_set1_ps(e.alpha), beta = _mm512_set1_ps(e.beta),
               inverse_scale = _mm512_set1_ps(e.inverse_scale);
  finish_units<V>(a, values, first_pixel, pixels, [&](const __m512(&v)[V], __m512(&t)[V]) {
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) {
      const __m512 y = _mm512_mul_ps(straight<activation>(v[i], alpha, beta), inverse_scale);
      t[i] = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), y);  // a NaN rounds to 0
    }
  });
}

// Whether finish_activated() makes this epilogue's codes.
KVANT_INLINE bool is_activated(const Epilogue& e) {
  return e.codes() && e.residual != Code::F32 && (e.curve || is_straight(e.activation));
}

template <int V>
[[gnu::noinline]] void finish_activated(const TileArgs& a, const float* values, int64_t first_pixel,
                                        int pixels) {
  if (a.epilogue->curve) return finish_curve<V>(a, values, first_pixel, pixels);
  with_straight(a.epilogue->activation, [&]<Activation activation>() {
    finish_straight<V, activation>(a, values, first_pixel, pixels);
  });
}

// One pixel of V vectors of sums.
template <int V>
KVANT_INLINE void finish_sums(const TileArgs& a, const CodeConstants& c, bool plain, const __m512i* sums,
                              int64_t pixel, __mmask64 lanes) {
  __m512i v[V];
#pragma GCC unroll 4
  for (int i = 0; i < V; ++i) {
    v[i] = _mm512_castps_si512(_mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[i]),
                                               _mm512_loadu_ps(a.multiplier + 16 * i),
                                               _mm512_loadu_ps(a.bias + 16 * i)));
  }
  if (plain && a.epilogue->residual == Code::None) {
#pragma GCC unroll 4
    for (int i = 0; i < V; ++i) v[i] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_castsi512_ps(v[i]), c.high));
    store_codes<V>(c, v, lanes, a.y + pixel * a.y_stride);
  } else if (plain) {
    finish_residual<V>(a, c, v, pixel, lanes);
  } else if (is_activated(*a.epilogue)) {
    alignas(64) float values[16 * V];
    for (int i = 0; i < V; ++i) _mm512_store_si512(values + 16 * i, v[i]);
    finish_activated<V>(a, values, pixel, 1);
  } else {
    finish_slowly<V>(a, v, pixel);
  }
}

}  // namespace
}  // namespace kvant::backends::cpu
