// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/elementwise.h"

namespace kvant::backends::cpu {

#define KVANT_ENTRY(function) ElementKernels function();
#include "backends/cpu/kernels/elementwise/kernels.inc"
#undef KVANT_ENTRY

std::span<const ElementKernels> element_kernels() {
  static const ElementKernels kernels[] = {
#define KVANT_ENTRY(function) function(),
#include "backends/cpu/kernels/elementwise/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

}  // namespace kvant::backends::cpu
