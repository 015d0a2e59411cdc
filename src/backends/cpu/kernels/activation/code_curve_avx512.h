// SPDX-License-Identifier: Apache-2.0
// CodeCurve on sixteen values at a time. Only *_avx512vnni.cc files include this.
#pragma once

#include <immintrin.h>

#include "backends/cpu/kernels/activation/code_curve.h"
#include "backends/cpu/kernels/epilogue.h"

namespace kvant::backends::cpu {
namespace {

// The curve in registers: for loops over many vectors.
struct CurveRegisters {
  __m512 low, high, slope, step_inverse, offset, known_from, safe_distance;
  __m512 first[CodeCurve::kTerms], second[CodeCurve::kTerms];

  [[gnu::always_inline]] inline explicit CurveRegisters(const CodeCurve& c)
      : low(_mm512_set1_ps(c.low)),
        high(_mm512_set1_ps(c.high)),
        slope(_mm512_set1_ps(c.slope)),
        step_inverse(_mm512_set1_ps(c.step_inverse)),
        offset(_mm512_set1_ps(c.offset)),
        known_from(_mm512_set1_ps(c.known_from)),
        safe_distance(_mm512_set1_ps(c.safe_distance)) {
#pragma GCC unroll 5
    for (int i = 0; i < CodeCurve::kTerms; ++i) {
      first[i] = _mm512_load_ps(c.terms[i]);
      second[i] = _mm512_load_ps(c.terms[i] + 16);
    }
  }
};

// Lanes whose polynomial is too near to a tie, from the definition.
[[gnu::noinline, gnu::cold]] inline __m512 curve_redone(const Epilogue& e, __m512 v, __m512 units,
                                                        __mmask16 lanes) {
  alignas(64) float in[16], out[16];
  _mm512_store_ps(in, v);
  _mm512_store_ps(out, units);
  for (unsigned left = lanes; left != 0; left &= left - 1) {
    const int i = __builtin_ctz(left);
    const float t = activate(e.activation, in[i], e.alpha, e.beta) * e.inverse_scale;
    out[i] = t == t ? t : 0.0f;  // a NaN rounds to 0
  }
  return _mm512_load_ps(out);
}

// activation(v) * inverse_scale, and in `unsure` the lanes that may round to another code than the
// definition's: those go through curve_redone(). Left to the caller, so that a loop over many vectors has one
// branch for several of them.
[[gnu::always_inline]] inline __m512 curve_units(const CurveRegisters& c, __m512 v, __mmask16& unsure) {
  // Bounds first: a NaN passes, and is then redone.
  const __m512 below = _mm512_min_ps(c.high, v), held = _mm512_max_ps(c.low, below);
  const __m512 u = _mm512_fmadd_ps(held, c.step_inverse, c.offset);
  const __m512i i = _mm512_cvtps_epi32(u);
  const __m512 x = _mm512_sub_ps(u, _mm512_cvtepi32_ps(i));
  __m512 t = _mm512_permutex2var_ps(c.first[CodeCurve::kTerms - 1], i, c.second[CodeCurve::kTerms - 1]);
#pragma GCC unroll 4
  for (int k = CodeCurve::kTerms - 2; k >= 0; --k)
    t = _mm512_fmadd_ps(t, x, _mm512_permutex2var_ps(c.first[k], i, c.second[k]));
  t = _mm512_fmadd_ps(_mm512_sub_ps(v, below), c.slope, t);
  const __m512 distance = _mm512_abs_ps(_mm512_reduce_ps(t, 0));
  unsure = static_cast<__mmask16>(_mm512_cmp_ps_mask(distance, c.safe_distance, _CMP_NLE_UQ) |
                                  _mm512_cmp_ps_mask(v, c.known_from, _CMP_LT_OQ));
  return t;
}

}  // namespace
}  // namespace kvant::backends::cpu
