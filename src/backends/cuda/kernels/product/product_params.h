// SPDX-License-Identifier: Apache-2.0
// The parameter struct of the kernel of products of codes, shared by host and device.
#pragma once

#include "backends/cuda/kernels/product/product.h"

namespace kvant::backends::cuda {

struct ProductParams {
  ProductDesc desc;
  const uint8_t* a;
  const uint8_t* b;
  uint8_t* y;
};

}  // namespace kvant::backends::cuda
