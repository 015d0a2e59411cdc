// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/canary/canary.h"

namespace kvant::backends::cpu {

void spin_vpdpbusd_avx512vnni(int64_t iterations);
void spin_vpmaddwd_avx2(int64_t iterations);

namespace {

// Eight chains of multiply and add, which no compiler can shorten.
void spin_plain(int64_t iterations) {
  uint32_t sums[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < iterations; ++i) {
    for (uint32_t& sum : sums) {
      sum = sum * 2654435761u + 1u;
      asm volatile("" : "+r"(sum));
    }
  }
}

}  // namespace

const Canary& canary() {
  static const Canary all[] = {{"vpdpbusd zmm", Isa::Avx512vnni, 24 * 64, spin_vpdpbusd_avx512vnni},
                               {"vpmaddwd ymm", Isa::Avx2, 12 * 16, spin_vpmaddwd_avx2},
                               {"multiply-add", Isa::None, 8, spin_plain}};
  for (const Canary& c : all) {
    if (supports(c.isa)) return c;
  }
  return all[2];
}

}  // namespace kvant::backends::cpu
