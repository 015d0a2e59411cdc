// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/rows/loops.h"

namespace kvant::backends::cpu {

RowKernels row_kernels_plain() { return loop_rows("plain", Isa::None); }

}  // namespace kvant::backends::cpu
