// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/loops.h"

namespace kvant::backends::cpu {

ElementKernels element_kernels_avx2() { return loop_kernels("avx2", Isa::Avx2); }

}  // namespace kvant::backends::cpu
