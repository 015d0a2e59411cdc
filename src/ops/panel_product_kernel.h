// SPDX-License-Identifier: Apache-2.0
// The loop of multiply_panel, compiled once for each instruction set. Includes no header with inline
// functions: their copies, compiled for AVX2, must not be picked for the whole program.
#pragma once

#include <cstdint>

namespace kvant::ops {

void multiply_panel_avx2(const double* a, int64_t a_stride, int64_t rows, int64_t depth, const double* panel,
                         double* out);

namespace {

// `Rows` rows of `a` against one panel. Lanes: doubles in a register.
template <int Rows, int Lanes>
void multiply_rows(const double* a, int64_t a_stride, int64_t depth, const double* panel, double* out) {
  constexpr int kParts = 8 / Lanes;
  typedef double Vector __attribute__((vector_size(Lanes * sizeof(double)), aligned(8), may_alias));
  Vector sums[Rows][kParts] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const Vector* b = reinterpret_cast<const Vector*>(panel + k * 8);
    for (int row = 0; row < Rows; ++row) {
      const double x = a[row * a_stride + k];
      for (int part = 0; part < kParts; ++part) sums[row][part] += b[part] * x;
    }
  }
  for (int row = 0; row < Rows; ++row)
    for (int part = 0; part < kParts; ++part)
      reinterpret_cast<Vector*>(out + row * 8)[part] = sums[row][part];
}

template <int Rows, int Lanes>
void multiply_panel_rows(const double* a, int64_t a_stride, int64_t rows, int64_t depth, const double* panel,
                         double* out) {
  int64_t row = 0;
  for (; row + Rows <= rows; row += Rows)
    multiply_rows<Rows, Lanes>(a + row * a_stride, a_stride, depth, panel, out + row * 8);
  for (; row < rows; ++row)
    multiply_rows<1, Lanes>(a + row * a_stride, a_stride, depth, panel, out + row * 8);
}

}  // namespace
}  // namespace kvant::ops
