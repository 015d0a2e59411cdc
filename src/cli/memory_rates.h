// SPDX-License-Identifier: Apache-2.0
// How fast this machine reads memory just now: the roofs of a roofline.
#pragma once

#include "cli/sampling.h"

namespace kvant::cli {

// GB/s (10^9 bytes) of all threads together, reading.
struct MemoryRates {
  double cache = 0;  // what fits the second-level cache of each core
  double dram = 0;   // what fits no cache
};

// The best of a few short readings, about 0.1 s in all; holds 96 MiB meanwhile.
MemoryRates memory_rates(const OnEachThread& on_each_thread);

}  // namespace kvant::cli
