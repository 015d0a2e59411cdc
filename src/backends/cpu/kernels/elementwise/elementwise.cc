// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/elementwise/elementwise.h"

namespace kvant::backends::cpu {

// Tables of functions, not functions that make them: nothing of a file compiled for instructions that this
// CPU lacks may run before it is chosen.
#define KVANT_ENTRY(table) extern const ElementKernels table;
#include "backends/cpu/kernels/elementwise/kernels.inc"
#undef KVANT_ENTRY

std::span<const ElementKernels> element_kernels() {
  static const ElementKernels kernels[] = {
#define KVANT_ENTRY(table) table,
#include "backends/cpu/kernels/elementwise/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

}  // namespace kvant::backends::cpu
