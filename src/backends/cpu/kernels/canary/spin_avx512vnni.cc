// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include <cstdint>

namespace kvant::backends::cpu {

void spin_vpdpbusd_avx512vnni(int64_t iterations);

// 24 independent sums: more than latency times throughput of any CPU so far.
void spin_vpdpbusd_avx512vnni(int64_t iterations) {
  __m512i sums[24];
  const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
#pragma GCC unroll 24
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (; iterations > 0; --iterations) {
#pragma GCC unroll 24
    for (__m512i& sum : sums) asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  }
}

}  // namespace kvant::backends::cpu
