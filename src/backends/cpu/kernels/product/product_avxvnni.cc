// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/product/product_vnni256.h"

namespace kvant::backends::cpu {

extern const ProductKernels product_kernels_avxvnni;
constinit const ProductKernels product_kernels_avxvnni = vnni_product("avxvnni", Isa::AvxVnni);

}  // namespace kvant::backends::cpu
