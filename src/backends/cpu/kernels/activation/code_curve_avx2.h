// SPDX-License-Identifier: Apache-2.0
// CodeCurve on eight values at a time. Only *_avx2.cc files include this.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/activation/code_curve.h"
#include "backends/cpu/kernels/epilogue.h"

namespace kvant::backends::cpu {
namespace {

// activation(v) * inverse_scale, rounding to the definition's code: results too near to a tie come from
// activate().
inline __m256 curve_units(const Epilogue& e, const CodeCurve& c, __m256 v) {
  const __m256 below = _mm256_min_ps(_mm256_set1_ps(c.high), v);
  const __m256 held = _mm256_max_ps(_mm256_set1_ps(c.low), below);
  const __m256 u = _mm256_fmadd_ps(held, _mm256_set1_ps(c.step_inverse), _mm256_set1_ps(c.offset));
  const __m256 nearest = _mm256_round_ps(u, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256i i =
      _mm256_and_si256(_mm256_cvtps_epi32(nearest), _mm256_set1_epi32(CodeCurve::kStretches - 1));
  const __m256 x = _mm256_sub_ps(u, nearest);
  __m256 t = _mm256_i32gather_ps(c.terms[CodeCurve::kTerms - 1], i, 4);
  for (int k = CodeCurve::kTerms - 1; k-- > 0;)
    t = _mm256_fmadd_ps(t, x, _mm256_i32gather_ps(c.terms[k], i, 4));
  t = _mm256_fmadd_ps(_mm256_sub_ps(v, below), _mm256_set1_ps(c.slope), t);
  const __m256 rounded = _mm256_round_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 distance = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(t, rounded));
  const __m256 near_tie = _mm256_cmp_ps(distance, _mm256_set1_ps(c.safe_distance), _CMP_NLE_UQ);
  const __m256 unknown = _mm256_cmp_ps(v, _mm256_set1_ps(c.known_from), _CMP_LT_OQ);
  auto unsure = static_cast<unsigned>(_mm256_movemask_ps(_mm256_or_ps(near_tie, unknown)));
  if (unsure == 0) return t;
  alignas(32) float in[8], out[8];
  _mm256_store_ps(in, v);
  _mm256_store_ps(out, t);
  for (; unsure != 0; unsure &= unsure - 1) {
    const int lane = __builtin_ctz(unsure);
    out[lane] = activate(e.activation, in[lane], e.alpha, e.beta) * e.inverse_scale;
  }
  return _mm256_load_ps(out);
}

}  // namespace
}  // namespace kvant::backends::cpu
