// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/product/loops.h"

namespace kvant::backends::cpu {

extern const ProductKernels product_kernels_plain;
constinit const ProductKernels product_kernels_plain = loop_product("plain", Isa::None);

}  // namespace kvant::backends::cpu
