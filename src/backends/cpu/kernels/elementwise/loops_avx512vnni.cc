// SPDX-License-Identifier: Apache-2.0
// The loops that round, by hand: sixteen elements a step, tails by mask.
// GCC 12 takes the intrinsics' own undefined operands for our mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "backends/cpu/kernels/elementwise/loops.h"

namespace kvant::backends::cpu {
namespace {

#define KVANT_INLINE [[gnu::always_inline]] inline

KVANT_INLINE __mmask16 mask_of(int64_t left) {
  return static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
}

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

void qmul_512(const CodePairDesc& d, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  const Rounding out(d.out);
  const __m512i za = _mm512_set1_epi32(d.a_zero_point), zb = _mm512_set1_epi32(d.b_zero_point);
  const __m512 m = _mm512_set1_ps(d.a_multiplier);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    const __m512i product =
        _mm512_mullo_epi32(load_codes(a + i, mask, d.a_signed, za), load_codes(b + i, mask, d.b_signed, zb));
    out.store(y + i, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(product), m));
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

void requantize_sums_512(float multiplier, const CodeRange& range, const int32_t* sums, uint8_t* y,
                         int64_t n) {
  const Rounding out(range);
  const __m512 m = _mm512_set1_ps(multiplier);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = mask_of(n - i);
    out.store(y + i, mask, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(mask, sums + i)), m));
  }
}

}  // namespace

ElementKernels element_kernels_avx512vnni() {
  ElementKernels kernels = loop_kernels("avx512vnni", Isa::Avx512vnni);
  kernels.qadd = qadd_512;
  kernels.qmul = qmul_512;
  kernels.quantize = quantize_512;
  kernels.dequantize = dequantize_512;
  kernels.requantize_sums = requantize_sums_512;
  return kernels;
}

}  // namespace kvant::backends::cpu
