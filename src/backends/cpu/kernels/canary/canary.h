// SPDX-License-Identifier: Apache-2.0
// A loop of integer dot products on registers only: what one core gives at this moment, whatever the caches
// do. A bench runs it around each sample, to see when other tenants of the machine take their share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/cpu.h"

namespace kvant::backends::cpu {

struct Canary {
  std::string_view name;  // the instruction
  Isa isa;
  int64_t macs;                     // of one iteration
  void (*run)(int64_t iterations);  // at least one
};

// For this CPU, the fastest that it has.
const Canary& canary();

}  // namespace kvant::backends::cpu
