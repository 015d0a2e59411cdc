// SPDX-License-Identifier: Apache-2.0
// The logistic function in single precision, operation by operation (no fused ones), so that vector kernels
// of every instruction set compute the same bits as plain C++, whatever the C library's expf does. Always
// inlined, so that no file that is compiled for fewer instructions can be linked with another's copy.
#pragma once

#include <cstdint>

namespace kvant {

struct ExponentialTerms {
  static constexpr float kLeast = -87.0f, kMost = 89.0f;  // above 88.4 the result is infinite
  static constexpr float kLog2e = 1.44269504f;            // 1 / ln 2
  static constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // ln 2, the first with 9 bits
  static constexpr float kRound = 12582912.0f;                                // 1.5 * 2^23: its sum rounds
  // (e^r - 1 - r) / r^2 on [-ln 2 / 2, ln 2 / 2] by Chebyshev nodes, constant first.
  static constexpr float kTerms[5] = {0.5f, 0.166665763f, 0.0416664630f, 0.00836320501f, 0.00139336882f};
};

// e^x within one unit in the last place: x = n ln 2 + r (W. Cody and W. Waite, Software Manual for the
// Elementary Functions, 1980), then a polynomial in r. Below -87 that of -87; a NaN stays one.
[[gnu::always_inline]] inline float exponential(float x) {
  using T = ExponentialTerms;
  x = x < T::kLeast ? T::kLeast : x;
  x = x > T::kMost ? T::kMost : x;
  const float shifted = x * T::kLog2e + T::kRound;
  const float n = shifted - T::kRound;
  const float r = (x - n * T::kLn2High) - n * T::kLn2Low;
  float p = T::kTerms[4];
  p = p * r + T::kTerms[3];
  p = p * r + T::kTerms[2];
  p = p * r + T::kTerms[1];
  p = p * r + T::kTerms[0];
  const float y = (p * (r * r) + r) + 1.0f;
  const uint32_t power =
      __builtin_bit_cast(uint32_t, shifted) - __builtin_bit_cast(uint32_t, T::kRound) + 127u;
  return y * __builtin_bit_cast(float, power << 23);
}

[[gnu::always_inline]] inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

}  // namespace kvant
