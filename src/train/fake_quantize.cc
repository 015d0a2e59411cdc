// SPDX-License-Identifier: Apache-2.0
// Compiled with -fno-trapping-math so that the comparisons become masks, never with -ffast-math: kRound
// relies on the order of its two operations.
#include "train/fake_quantize.h"

#include <algorithm>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__)
#define KVANT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVANT_CLONES
#endif

namespace kvant::train {
namespace {

// 1.5 * 2^23: adding and subtracting it rounds |v| < 2^22 to an integer, half to even. v is clamped before.
constexpr float kRound = 12582912.0f;
// Float sums of this many elements, double above.
constexpr int64_t kBlock = 4096;

}  // namespace

KVANT_CLONES void fake_quantize(const float* __restrict x, float* __restrict y, int64_t n, float scale,
                                float low, float high) {
  for (int64_t i = 0; i < n; ++i) {
    float v = x[i] / scale;
    v = v < low ? low : v;
    v = v > high ? high : v;
    y[i] = ((v + kRound) - kRound) * scale;
  }
}

KVANT_CLONES void fake_quantize_backward(const float* __restrict x, const float* __restrict g,
                                         float* __restrict gx, int64_t n, float scale, float low,
                                         float high) {
  const float under = low - 1, over = high + 1;
  for (int64_t i = 0; i < n; ++i) {
    float v = x[i] / scale;
    v = v < under ? under : v;
    v = v > over ? over : v;
    const float q = (v + kRound) - kRound;
    // Bitwise &: with && GCC leaves the loop scalar.
    gx[i] = ((q >= low) & (q <= high)) ? g[i] : 0.0f;
  }
}

KVANT_CLONES double fake_quantize_backward_scale(const float* __restrict x, const float* __restrict g,
                                                 float* __restrict gx, int64_t n, float scale, float low,
                                                 float high) {
  const float under = low - 1, over = high + 1;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) {
      const float v = x[i] / scale;
      float c = v < under ? under : v;
      c = c > over ? over : c;
      const float r = (c + kRound) - kRound;
      float q = r < low ? low : r;
      q = q > high ? high : q;
      const float inside = ((r >= low) & (r <= high)) ? g[i] : 0.0f;
      gx[i] = inside;
      sum += g[i] * q - inside * c;
    }
    total += static_cast<double>(sum);
  }
  return total;
}

KVANT_CLONES float max_magnitude(const float* x, int64_t n) {
  float best = 0;
#pragma omp simd reduction(max : best)
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i] < 0 ? -x[i] : x[i];
    best = v > best ? v : best;
  }
  return best;
}

KVANT_CLONES void widen_range(const float* x, int64_t n, float* low, float* high) {
  float least = *low, most = *high;
#pragma omp simd reduction(min : least) reduction(max : most)
  for (int64_t i = 0; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
  }
  *low = least;
  *high = most;
}

float covering_scale(float least, float most, float low, float high) {
  if (low == -high - 1) low = -high;
  const float above = high > 0 && most > 0 ? most / high : 0.0f;
  const float below = low < 0 && least < 0 ? least / low : 0.0f;
  return std::max(above, below);
}

}  // namespace kvant::train
