// SPDX-License-Identifier: Apache-2.0
// Sums in memory have their channels in order, so the header's order of lanes is not used. For GCC bug 105593
// see tiles_avx512vnni.cc.
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#include "backends/cpu/kernels/qconv/finish_rows.h"

#include <algorithm>

#include "backends/cpu/kernels/qconv/finish_avx512.h"

namespace kvant::backends::cpu {
namespace {

// Sixteen channels from `at` on, as reals before the activation.
KVANT_INLINE __m512 value_of(const Epilogue& e, const SumRows& rows, int64_t pixel, int64_t at,
                             __mmask16 lanes) {
  const int64_t i = pixel * rows.channels + at;
  const __m512i sums = _mm512_add_epi32(_mm512_maskz_loadu_epi32(lanes, rows.sums + i),
                                        _mm512_maskz_loadu_epi32(lanes, rows.start + at));
  const __m512 v =
      _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_maskz_loadu_ps(lanes, rows.multiplier + at),
                      _mm512_maskz_loadu_ps(lanes, rows.bias + at));
  if (e.residual == Code::None) return v;
  return _mm512_fmadd_ps(any_residual(e, rows.residual, i, lanes), _mm512_set1_ps(e.residual_multiplier), v);
}

KVANT_INLINE void store_row_codes(const Epilogue& e, __m512 v, __mmask16 lanes, uint8_t* y) {
  _mm_mask_storeu_epi8(y, lanes, any_codes(e, v));
}

void finish_with_curve(const Epilogue& e, const SumRows& rows, int64_t first, int64_t last) {
  const CurveRegisters curve(*e.curve);
  for (int64_t pixel = first; pixel < last; ++pixel) {
    for (int64_t at = 0; at < rows.channels; at += 16) {
      const __mmask16 lanes = mask_of(rows.channels - at);
      const __m512 v = value_of(e, rows, pixel, at, lanes);
      __mmask16 unsure;
      __m512 t = curve_units(curve, v, unsure);
      if (__builtin_expect(unsure != 0, 0)) t = curve_redone(e, v, t, unsure);
      store_row_codes(e, t, lanes, rows.y + pixel * rows.channels + at);
    }
  }
}

void finish_plainly(const Epilogue& e, const SumRows& rows, int64_t first, int64_t last) {
  for (int64_t pixel = first; pixel < last; ++pixel) {
    for (int64_t at = 0; at < rows.channels; at += 16) {
      const __mmask16 lanes = mask_of(rows.channels - at);
      store_row_codes(e, value_of(e, rows, pixel, at, lanes), lanes, rows.y + pixel * rows.channels + at);
    }
  }
}

void finish_other(const Epilogue& e, const SumRows& rows, int64_t first, int64_t last) {
  Epilogue without_residual = e;  // it is in the values already
  without_residual.residual = Code::None;
  alignas(64) float values[16];
  for (int64_t pixel = first; pixel < last; ++pixel) {
    for (int64_t at = 0; at < rows.channels; at += 16) {
      const int64_t count = std::min<int64_t>(16, rows.channels - at);
      _mm512_store_ps(values, value_of(e, rows, pixel, at, mask_of(count)));
      finish_any(without_residual, values, count, nullptr,
                 rows.y + (pixel * rows.channels + at) * code_bytes(e.output));
    }
  }
}

}  // namespace

void finish_rows_avx512(const Epilogue& e, const CodeTable* table, const SumRows& rows, int64_t first,
                        int64_t last) {
  if (e.codes() && e.curve) {
    finish_with_curve(e, rows, first, last);
  } else if (e.codes() && e.activation == Activation::None) {
    finish_plainly(e, rows, first, last);
  } else {
    finish_other(e, rows, first, last);
  }
  if (table == nullptr) return;
  const int64_t end = last * rows.channels;
  for (int64_t at = first * rows.channels; at < end; at += 64)
    look_up_avx512(*table, rows.y + at, 64, 1, std::min<int64_t>(64, end - at));
}

}  // namespace kvant::backends::cpu
