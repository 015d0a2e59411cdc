// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/rows/loops.h"

namespace kvant::backends::cpu {

extern const RowKernels row_kernels_avx2;
constinit const RowKernels row_kernels_avx2 = loop_rows("avx2", Isa::Avx2);

}  // namespace kvant::backends::cpu
