// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/loops.h"

namespace kvant::backends::cpu {

extern const ElementKernels element_kernels_plain;
constinit const ElementKernels element_kernels_plain = loop_kernels("plain", Isa::None);

}  // namespace kvant::backends::cpu
