// SPDX-License-Identifier: Apache-2.0
// The product of AVX-VNNI in EVEX encoding, for product_test.cc on CPUs with AVX-512.
#include "backends/cpu/kernels/product/product_vnni256.h"

namespace kvant::backends::cpu {

extern const ProductKernels product_kernels_evex;
constinit const ProductKernels product_kernels_evex = vnni_product("evex", Isa::Avx512vnni);

}  // namespace kvant::backends::cpu
