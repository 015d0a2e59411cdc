// SPDX-License-Identifier: Apache-2.0
// A float matrix product fast enough for layer-wise optimization; no library needed.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace kvant::quant {

// c[rows x columns] += a[rows x depth] * b[depth x columns], row-major and dense. Each element of c is summed
// in the order of depth (within blocks of a fixed size), so the result does not depend on the number of
// threads.
void add_product(const float* a, const float* b, float* c, int64_t rows, int64_t depth, int64_t columns,
                 ThreadPool& pool);

}  // namespace kvant::quant
