// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/product/loops.h"

namespace kvant::backends::cpu {

ProductKernels product_kernels_plain() { return loop_product("plain", Isa::None); }

}  // namespace kvant::backends::cpu
