// SPDX-License-Identifier: Apache-2.0
#include <immintrin.h>

#include <cstdint>

namespace kvant::backends::cpu {

void spin_vpmaddwd_avx2(int64_t iterations);

void spin_vpmaddwd_avx2(int64_t iterations) {
  __m256i sums[12];
  const __m256i a = _mm256_set1_epi16(3), b = _mm256_set1_epi16(-2);
#pragma GCC unroll 12
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (; iterations > 0; --iterations) {
#pragma GCC unroll 12
    for (__m256i& sum : sums) {
      __m256i product;
      asm volatile("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(sum), "=&x"(product) : "x"(a), "x"(b));
    }
  }
}

}  // namespace kvant::backends::cpu
