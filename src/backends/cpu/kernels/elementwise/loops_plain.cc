// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/loops.h"

namespace kvant::backends::cpu {

ElementKernels element_kernels_plain() { return loop_kernels("plain", Isa::None); }

}  // namespace kvant::backends::cpu
