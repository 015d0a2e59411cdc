// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/rows/loops.h"

namespace kvant::backends::cpu {

extern const RowKernels row_kernels_plain;
constinit const RowKernels row_kernels_plain = loop_rows("plain", Isa::None);

}  // namespace kvant::backends::cpu
