// SPDX-License-Identifier: Apache-2.0
// Sixteen elements at a time, tails by mask.
// GCC 12 takes the intrinsics' own undefined operands for our mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include <immintrin.h>

#include "backends/cpu/kernels/lanes_avx512.h"
#include "backends/cpu/kernels/rows/loops.h"

namespace kvant::backends::cpu {
namespace {

// e^x for x <= 0, relative error below 2e-7.
KVANT_INLINE __m512 exp_512(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-87.0f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.0f / 5040.0f);
  for (const float c : {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f, 0.5f, 1.0f, 1.0f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, n);
}

// How codes are made of results in units of the scale.
struct Coding {
  __m512 low, high, half;
  __m512i zero_point;

  explicit Coding(const RowOutput& out)
      : low(_mm512_set1_ps(static_cast<float>(out.low - out.zero_point))),
        high(_mm512_set1_ps(static_cast<float>(out.high - out.zero_point))),
        half(_mm512_set1_ps(0.5f)),
        zero_point(_mm512_set1_epi32(out.zero_point)) {}

  // Stores the codes of t; returns which of them are nearer to a tie than `error`.
  KVANT_INLINE __mmask16 store(__m512 t, __m512 error, __mmask16 lanes, uint8_t* y) const {
    const __m512 distance = _mm512_abs_ps(_mm512_reduce_ps(t, 8));
    const __mmask16 unsure =
        _mm512_mask_cmp_ps_mask(lanes, _mm512_add_ps(distance, error), half, _CMP_NLT_UQ);
    t = _mm512_max_ps(_mm512_min_ps(t, high), low);
    const __m512i codes = _mm512_add_epi32(_mm512_cvtps_epi32(t), zero_point);
    _mm_mask_storeu_epi8(y, lanes, _mm512_cvtepi32_epi8(codes));
    return unsure;
  }
};

void softmax_512(const RowOutput& out, const float* x, std::byte* y, int64_t n, float* e) {
  const __m512 lowest = _mm512_set1_ps(-INFINITY);
  __m512 largest = lowest;
  for (int64_t i = 0; i < n; i += 16)
    largest = _mm512_max_ps(largest, _mm512_mask_loadu_ps(lowest, mask_of(n - i), x + i));
  const float top = _mm512_reduce_max_ps(largest);
  const __m512 tops = _mm512_set1_ps(top);
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kPartialSum * kLanes) {
    __m512 sums = _mm512_setzero_ps();
    for (int64_t i = begin; i < n && i < begin + kPartialSum * kLanes; i += 16) {
      const __mmask16 lanes = mask_of(n - i);
      const __m512 v = exp_512(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + i), tops));
      _mm512_mask_storeu_ps(e + i, lanes, v);
      sums = _mm512_mask_add_ps(sums, lanes, sums, v);
    }
    sum += static_cast<double>(_mm512_reduce_add_ps(sums));
  }
  if (out.output == Code::F32) {
    const __m512 factor = _mm512_set1_ps(static_cast<float>(1.0 / sum));
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 lanes = mask_of(n - i);
      _mm512_mask_storeu_ps(reinterpret_cast<float*>(y) + i, lanes,
                            _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, e + i), factor));
    }
    return;
  }
  const __m512 factor = _mm512_set1_ps(static_cast<float>(1.0 / (sum * static_cast<double>(out.scale))));
  const __m512 relative = _mm512_set1_ps(kRelativeError), absolute = _mm512_set1_ps(kAbsoluteError);
  const Coding coding(out);
  auto* codes = reinterpret_cast<uint8_t*>(y);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = mask_of(n - i);
    const __m512 t = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, e + i), factor);
    const __mmask16 unsure = coding.store(t, _mm512_fmadd_ps(t, relative, absolute), lanes, codes + i);
    if (__builtin_expect(unsure != 0, 0)) redo_softmax(out, x, e, top, n, i, n - i < 16 ? n - i : 16, y);
  }
}

KVANT_INLINE double sum_of(__m512 v) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v)),
                high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
}

[[gnu::noinline, gnu::cold]] void redo_norm(const LayerNormDesc& d, const float* x, std::byte* y, int64_t n,
                                            int64_t first, __mmask16 lanes) {
  const ExactLayerNorm exact(d, x, n);
  for (unsigned left = lanes; left != 0; left &= left - 1) {
    const int64_t i = first + __builtin_ctz(left);
    store_row_element(d.out, exact.at(i), y, i);
  }
}

void layer_norm_512(const LayerNormDesc& d, const float* x, std::byte* y, int64_t n, float*) {
  __m512 sums = _mm512_setzero_ps();
  for (int64_t i = 0; i < n; i += 16)
    sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(mask_of(n - i), x + i));
  const auto rough = static_cast<float>(sum_of(sums) / static_cast<double>(n));
  const __m512 roughs = _mm512_set1_ps(rough);
  // Around the rough mean, whose own error the sum of differences takes off again.
  __m512 differences = _mm512_setzero_ps(), squares = differences;
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = mask_of(n - i);
    const __m512 v = _mm512_maskz_sub_ps(lanes, _mm512_maskz_loadu_ps(lanes, x + i), roughs);
    differences = _mm512_add_ps(differences, v);
    squares = _mm512_fmadd_ps(v, v, squares);
  }
  const NormFactors f(d, rough, sum_of(differences), sum_of(squares), n);
  const __m512 mean = _mm512_set1_ps(f.mean), factor = _mm512_set1_ps(f.factor),
               unit = _mm512_set1_ps(f.unit);
  const __m512 around = _mm512_set1_ps(f.around);
  const __m512 relative = _mm512_set1_ps(kRelativeError), absolute = _mm512_set1_ps(kAbsoluteError);
  const Coding coding(d.out);
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 lanes = mask_of(n - i);
    const __m512 v = _mm512_sub_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(lanes, x + i), roughs), mean);
    const __m512 g = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, d.gain + i), factor);
    __m512 b = _mm512_setzero_ps();
    if (d.bias != nullptr) b = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, d.bias + i), unit);
    const __m512 t = _mm512_fmadd_ps(v, g, b);
    if (d.out.output == Code::F32) {
      _mm512_mask_storeu_ps(reinterpret_cast<float*>(y) + i, lanes, t);
      continue;
    }
    const __m512 size =
        _mm512_fmadd_ps(_mm512_add_ps(_mm512_abs_ps(v), around), _mm512_abs_ps(g), _mm512_abs_ps(b));
    const __mmask16 unsure =
        coding.store(t, _mm512_fmadd_ps(size, relative, absolute), lanes, reinterpret_cast<uint8_t*>(y) + i);
    if (__builtin_expect(unsure != 0, 0)) redo_norm(d, x, y, n, i, unsure);
  }
}

}  // namespace

extern const RowKernels row_kernels_avx512vnni;
constinit const RowKernels row_kernels_avx512vnni = {"avx512vnni", Isa::Avx512vnni, softmax_512,
                                                     layer_norm_512};

}  // namespace kvant::backends::cpu
