// SPDX-License-Identifier: Apache-2.0
#include "ops/panel_product_kernel.h"

namespace kvant::ops {

void multiply_panel_avx2(const double* a, int64_t a_stride, int64_t rows, int64_t depth, const double* panel,
                         double* out) {
  multiply_panel_rows<4, 4>(a, a_stride, rows, depth, panel, out);
}

}  // namespace kvant::ops
