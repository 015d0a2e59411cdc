// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/loops.h"

namespace kvant::backends::cpu {

extern const ElementKernels element_kernels_avx2;
constinit const ElementKernels element_kernels_avx2 = loop_kernels("avx2", Isa::Avx2);

}  // namespace kvant::backends::cpu
