// SPDX-License-Identifier: Apache-2.0
#include "ops/panel_product.h"

#include <algorithm>

#include "base/cpu.h"
#include "ops/panel_product_kernel.h"

namespace kvant::ops {

void multiply_panel(const double* a, int64_t a_stride, int64_t rows, int64_t depth, const double* panel,
                    double* out) {
#if defined(__x86_64__)
  static const bool wide = supports(Isa::Avx2);
  if (wide) return multiply_panel_avx2(a, a_stride, rows, depth, panel, out);
#endif
  multiply_panel_rows<2, 2>(a, a_stride, rows, depth, panel, out);
}

std::vector<double> multiply(MatrixView a, MatrixView b, int64_t rows, int64_t columns, int64_t depth) {
  std::vector<double> result(static_cast<size_t>(rows * columns), 0.0);
  std::vector<double> left;
  if (a.column_stride != 1) {
    left.resize(static_cast<size_t>(rows * depth));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t k = 0; k < depth; ++k)
        left[static_cast<size_t>(i * depth + k)] = a.data[i * a.row_stride + k * a.column_stride];
    a = {left.data(), depth, 1};
  }
  std::vector<double> panel(static_cast<size_t>(depth * kPanelWidth), 0.0);
  std::vector<double> out(static_cast<size_t>(rows * kPanelWidth));
  for (int64_t first = 0; first < columns; first += kPanelWidth) {
    const int64_t width = std::min(kPanelWidth, columns - first);
    for (int64_t k = 0; k < depth; ++k)
      for (int64_t j = 0; j < width; ++j)
        panel[static_cast<size_t>(k * kPanelWidth + j)] =
            b.data[k * b.row_stride + (first + j) * b.column_stride];
    multiply_panel(a.data, a.row_stride, rows, depth, panel.data(), out.data());
    for (int64_t i = 0; i < rows; ++i)
      std::copy_n(out.begin() + i * kPanelWidth, width, result.begin() + i * columns + first);
  }
  return result;
}

}  // namespace kvant::ops
