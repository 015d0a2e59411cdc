// SPDX-License-Identifier: Apache-2.0
// The loops that round, by hand: sixteen elements a step, tails by mask.
// GCC 12 takes the intrinsics' own undefined operands for our mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "backends/cpu/kernels/elementwise/loops.h"
#include "backends/cpu/kernels/lanes_avx512.h"

namespace kvant::backends::cpu {
namespace {

// Codes minus zero point.
KVANT_INLINE __m512i load_codes(const uint8_t* x, __mmask16 mask, bool is_signed, __m512i zero_point) {
  const __m128i bytes = _mm_maskz_loadu_epi8(mask, x);
  return _mm512_sub_epi32(is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes), zero_point);
}

struct Rounding {
  __m512 low, high;
  __m512i zero_point;

  explicit Rounding(const CodeRange& out)
      : low(_mm512_set1_ps(static_cast<float>(out.low - out.zero_point))),
        high(_mm512_set1_ps(static_cast<float>(out.high - out.zero_point))),
        zero_point(_mm512_set1_epi32(out.zero_point)) {}

  KVANT_INLINE void store(uint8_t* y, __mmask16 mask, __m512 v) const {
    v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);  // a NaN rounds to 0
    v = _mm512_max_ps(_mm512_min_ps(v, high), low);
    _mm_mask_storeu_epi8(y, mask, _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(v), zero_point)));
  }
};

void qadd_512(const CodePairDesc& d, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  const Rounding out(d.out);
  const __m512i za = _mm512_set1_epi32(d.a_zero_point), zb = _mm512_set1_epi32(d.b_zero_point);
  const __m512 ma = _mm512_set1_ps(d.a_multiplier), mb = _mm512_set1_ps(d.b_multiplier);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512 first = _mm512_mul_ps(_mm512_cvtepi32_ps(load_codes(a + i, mask, d.a_signed, za)), ma);
    const __m512 second = _mm512_cvtepi32_ps(load_codes(b + i, mask, d.b_signed, zb));
    out.store(y + i, mask, _mm512_fmadd_ps(second, mb, first));
  }
}

// Both factors are exact as floats, and so is their product.
void qmul_512(const CodePairDesc& d, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  const Rounding out(d.out);
  const __m512i za = _mm512_set1_epi32(d.a_zero_point), zb = _mm512_set1_epi32(d.b_zero_point);
  const __m512 m = _mm512_set1_ps(d.a_multiplier);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512 first = _mm512_cvtepi32_ps(load_codes(a + i, mask, d.a_signed, za));
    const __m512 second = _mm512_cvtepi32_ps(load_codes(b + i, mask, d.b_signed, zb));
    out.store(y + i, mask, _mm512_mul_ps(_mm512_mul_ps(first, second), m));
  }
}

// Separate products and sums, as the definition rounds.
void affine_512(const AffineDesc& d, const uint8_t* x, const float* multiplier, const float* bias, uint8_t* y,
                int64_t n) {
  const Rounding out(d.out);
  const __m512i zero_point = _mm512_set1_epi32(d.x_zero_point);
  const __m512 scale = _mm512_set1_ps(d.x_scale), y_scale = _mm512_set1_ps(d.y_scale);
  const __m512 floor = _mm512_set1_ps(d.relu ? 0.0f : -std::numeric_limits<float>::infinity());
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512 real =
        _mm512_mul_ps(_mm512_cvtepi32_ps(load_codes(x + i, mask, d.x_signed, zero_point)), scale);
    __m512 v = _mm512_mul_ps(real, _mm512_maskz_loadu_ps(mask, multiplier + i));
    v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, bias + i));
    out.store(y + i, mask, _mm512_div_ps(_mm512_max_ps(floor, v), y_scale));  // of a NaN the second
  }
}

void add_real_512(const AddRealDesc& d, const uint8_t* a, const float* b, uint8_t* y, int64_t n) {
  const Rounding out(d.out);
  const __m512i zero_point = _mm512_set1_epi32(d.a_zero_point);
  const __m512 scale = _mm512_set1_ps(d.a_scale), y_scale = _mm512_set1_ps(d.y_scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512 real =
        _mm512_mul_ps(_mm512_cvtepi32_ps(load_codes(a + i, mask, d.a_signed, zero_point)), scale);
    const __m512 sum = _mm512_add_ps(real, _mm512_maskz_loadu_ps(mask, b + i));
    out.store(y + i, mask, _mm512_div_ps(sum, y_scale));
  }
}

void quantize_512(float scale, const CodeRange& range, const float* x, uint8_t* y, int64_t n) {
  const Rounding out(range);
  const __m512 s = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    out.store(y + i, mask, _mm512_div_ps(_mm512_maskz_loadu_ps(mask, x + i), s));
  }
}

void dequantize_512(float scale, int32_t zero_point, bool is_signed, const uint8_t* x, float* y, int64_t n) {
  const __m512i zero = _mm512_set1_epi32(zero_point);
  const __m512 s = _mm512_set1_ps(scale);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512 codes = _mm512_cvtepi32_ps(load_codes(x + i, mask, is_signed, zero));
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(codes, s));
  }
}

KVANT_INLINE __mmask64 byte_mask(int64_t left) { return left >= 64 ? ~0ull : (1ull << left) - 1ull; }

// Sums of 64 channels over all taps: 16 bits hold 257 codes, then they go into 32.
void average_512(const AverageDesc& d, const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n) {
  const Rounding out(d.out);
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(d.is_signed ? 0x80 : 0));
  const int64_t all = taps.rows * taps.columns;
  const __m512i zero = _mm512_set1_epi32(d.zero + (d.is_signed ? static_cast<int32_t>(128 * all) : 0));
  const __m512 m = _mm512_set1_ps(d.multiplier);
  for (int64_t first = 0; first < n; first += 64) {
    const __mmask64 mask = byte_mask(n - first);
    __m512i sums[4], low = _mm512_setzero_si512(), high = low;
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) sums[r] = low;
    const auto flush = [&] {
      sums[0] = _mm512_add_epi32(sums[0], _mm512_cvtepu16_epi32(_mm512_castsi512_si256(low)));
      sums[1] = _mm512_add_epi32(sums[1], _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(low, 1)));
      sums[2] = _mm512_add_epi32(sums[2], _mm512_cvtepu16_epi32(_mm512_castsi512_si256(high)));
      sums[3] = _mm512_add_epi32(sums[3], _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(high, 1)));
      low = high = _mm512_setzero_si512();
    };
    int held = 0;
    for (int64_t r = 0; r < taps.rows; ++r) {
      const uint8_t* tap = x + first + r * taps.row_step;
      for (int64_t c = 0; c < taps.columns; ++c, tap += taps.column_step) {
        const __m512i bytes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, tap), flip);
        low = _mm512_add_epi16(low, _mm512_cvtepu8_epi16(_mm512_castsi512_si256(bytes)));
        high = _mm512_add_epi16(high, _mm512_cvtepu8_epi16(_mm512_extracti64x4_epi64(bytes, 1)));
        if (++held == 257) flush(), held = 0;
      }
    }
    flush();
#pragma GCC unroll 4
    for (int r = 0; r < 4; ++r) {
      if (first + 16 * r >= n) break;
      const __m512 v = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums[r], zero)), m);
      out.store(y + first + 16 * r, mask_of(n - first - 16 * r), v);
    }
  }
}

template <bool is_signed>
void max_512(const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n) {
  for (int64_t first = 0; first < n; first += 64) {
    const __mmask64 mask = byte_mask(n - first);
    __m512i largest = _mm512_maskz_loadu_epi8(mask, x + first);
    for (int64_t r = 0; r < taps.rows; ++r) {
      const uint8_t* tap = x + first + r * taps.row_step;
      for (int64_t c = 0; c < taps.columns; ++c, tap += taps.column_step) {
        const __m512i bytes = _mm512_maskz_loadu_epi8(mask, tap);
        largest = is_signed ? _mm512_max_epi8(largest, bytes) : _mm512_max_epu8(largest, bytes);
      }
    }
    _mm512_mask_storeu_epi8(y + first, mask, largest);
  }
}

void max_u8_512(const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n) {
  max_512<false>(taps, x, y, n);
}
void max_i8_512(const PoolTaps& taps, const int8_t* x, int8_t* y, int64_t n) {
  max_512<true>(taps, reinterpret_cast<const uint8_t*>(x), reinterpret_cast<uint8_t*>(y), n);
}

// The table in four registers: a code's lower seven bits choose within each half, its top bit the half.
__attribute__((target("avx512vbmi"))) void look_up_vbmi(const uint8_t* table, const uint8_t* x, uint8_t* y,
                                                        int64_t n) {
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64);
  const __m512i t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (int64_t i = 0; i < n; i += 64) {
    const __mmask64 mask = byte_mask(n - i);
    const __m512i codes = _mm512_maskz_loadu_epi8(mask, x + i);
    const __m512i lower = _mm512_permutex2var_epi8(t0, codes, t1);
    const __m512i upper = _mm512_permutex2var_epi8(t2, codes, t3);
    _mm512_mask_storeu_epi8(y + i, mask, _mm512_mask_mov_epi8(lower, _mm512_movepi8_mask(codes), upper));
  }
}

// Newer than the rest of this file.
void look_up_512(const uint8_t* table, const uint8_t* x, uint8_t* y, int64_t n) {
  static const bool has_vbmi = __builtin_cpu_supports("avx512vbmi");
  has_vbmi ? look_up_vbmi(table, x, y, n) : look_up(table, x, y, n);
}

constexpr ElementKernels kernels_512() {
  ElementKernels kernels = loop_kernels("avx512vnni", Isa::Avx512vnni);
  kernels.qadd = qadd_512;
  kernels.qmul = qmul_512;
  kernels.affine = affine_512;
  kernels.add_real = add_real_512;
  kernels.quantize = quantize_512;
  kernels.dequantize = dequantize_512;
  kernels.average = average_512;
  kernels.max_u8 = max_u8_512;
  kernels.max_i8 = max_i8_512;
  kernels.look_up = look_up_512;
  return kernels;
}

}  // namespace

extern const ElementKernels element_kernels_avx512vnni;
constinit const ElementKernels element_kernels_avx512vnni = kernels_512();

}  // namespace kvant::backends::cpu
