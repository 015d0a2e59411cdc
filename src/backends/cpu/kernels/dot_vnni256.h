// SPDX-License-Identifier: Apache-2.0
// vpdpbusd on 256 bits: to each int32 lane the sum of four products u8 * s8, exact and never saturated (that
// is vpdpbusds). CPUs with AVX-VNNI have it in VEX encoding, those with AVX-512 VL and VNNI in EVEX encoding.
// The same kernels are compiled in both: the first for *_avxvnni.cc in the program, the second for tests on
// CPUs that have only that.
#pragma once

#include <immintrin.h>

namespace kvant::backends::cpu {
namespace {

struct VnniDot {
  [[gnu::always_inline]] static inline __m256i add(__m256i sums, __m256i codes, __m256i weights) {
#if defined(__AVXVNNI__)
    return _mm256_dpbusd_avx_epi32(sums, codes, weights);
#elif defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpbusd_epi32(sums, codes, weights);
#else
#error "to be compiled for AVX-VNNI, or for AVX-512 VL and VNNI"
#endif
  }
};

}  // namespace
}  // namespace kvant::backends::cpu
