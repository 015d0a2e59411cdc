// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/product/product.h"

namespace kvant::backends::cpu {

// Tables of functions, not functions that make them: nothing of a file compiled for instructions that this
// CPU lacks may run before it is chosen.
#define KVANT_ENTRY(table) extern const ProductKernels table;
#include "backends/cpu/kernels/product/kernels.inc"
#undef KVANT_ENTRY

std::span<const ProductKernels> product_kernels() {
  static const ProductKernels kernels[] = {
#define KVANT_ENTRY(table) table,
#include "backends/cpu/kernels/product/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

}  // namespace kvant::backends::cpu
