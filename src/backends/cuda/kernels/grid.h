// SPDX-License-Identifier: Apache-2.0
// Grids of kernels whose threads each take `each` of a number of elements.
#pragma once

#include "backends/cuda/kernels/launch.h"
#include "base/error.h"

namespace kvant::backends::cuda {

inline int64_t blocks_for(int64_t items, int64_t of_block) { return (items + of_block - 1) / of_block; }

inline bool lies_at_multiples_of(size_t bytes, std::initializer_list<const void*> addresses) {
  for (const void* address : addresses) {
    if (reinterpret_cast<uintptr_t>(address) % bytes != 0) return false;
  }
  return true;
}

// At least one block, so that an empty tensor is a launch that does nothing.
template <class Params>
Launch launch_over(std::string_view kernel, int64_t items, unsigned threads, const Params& params) {
  const int64_t blocks = blocks_for(items < 1 ? 1 : items, threads);
  if (blocks > 0x7fffffff) fail("cuda: kernel {}: {} elements are more than a grid takes", kernel, items);
  Launch launch;
  launch.kernel = &kernel_named(kernel);
  launch.grid.x = static_cast<unsigned>(blocks);
  launch.block.x = threads;
  launch.set_params(params);
  return launch;
}

}  // namespace kvant::backends::cuda
