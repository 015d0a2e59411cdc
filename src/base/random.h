// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same on every machine and compiler: SplitMix64 (Steele, Lea, Flood 2014).
#pragma once

#include <cmath>
#include <cstdint>

namespace kvant {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In [0, 1), 24 bits.
  float uniform() { return static_cast<float>(next() >> 40) * 0x1p-24f; }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  // In [0, n), n > 0; the bias for n < 2^32 is below 2^-32.
  uint64_t below(uint64_t n) { return next() % n; }
  // Standard normal, by Box and Muller.
  float normal() {
    const double u = 1.0 - static_cast<double>(next() >> 11) * 0x1p-53;
    const double v = static_cast<double>(next() >> 11) * 0x1p-53;
    return static_cast<float>(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  uint64_t state() const { return state_; }

 private:
  uint64_t state_;
};

}  // namespace kvant
