// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/product/product.h"

namespace kvant::backends::cpu {

#define KVANT_ENTRY(function) ProductKernels function();
#include "backends/cpu/kernels/product/kernels.inc"
#undef KVANT_ENTRY

std::span<const ProductKernels> product_kernels() {
  static const ProductKernels kernels[] = {
#define KVANT_ENTRY(function) function(),
#include "backends/cpu/kernels/product/kernels.inc"
#undef KVANT_ENTRY
  };
  return kernels;
}

}  // namespace kvant::backends::cpu
