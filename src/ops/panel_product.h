// SPDX-License-Identifier: Apache-2.0
// The one matrix product behind Conv, Gemm, MatMul and their integer forms. Everything is computed in double:
// products of two floats are exact there and sums of integer codes stay exact below 2^53. Each result is
// summed in the order of the depth index, one rounding per term, so it does not depend on blocking or
// instruction set.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace kvant::ops {

// Columns of the right operand are packed into panels of this many: panel[k * kPanelWidth + column].
inline constexpr int64_t kPanelWidth = 8;

// out[row * kPanelWidth + j] = sum over k < depth of a[row * a_stride + k] * panel[k * kPanelWidth + j].
void multiply_panel(const double* a, int64_t a_stride, int64_t rows, int64_t depth, const double* panel,
                    double* out);

// Strides of one operand, in elements: of its row index and its column index (transposition swaps them).
struct MatrixView {
  const double* data;
  int64_t row_stride;
  int64_t column_stride;
};

// Row-major a[rows x depth] * b[depth x columns].
std::vector<double> multiply(MatrixView a, MatrixView b, int64_t rows, int64_t columns, int64_t depth);

}  // namespace kvant::ops
