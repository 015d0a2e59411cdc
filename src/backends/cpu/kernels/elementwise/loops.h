// SPDX-License-Identifier: Apache-2.0
// The loops in plain C++. Each instruction set's file includes this for itself (hence the unnamed namespace)
// and compiles it with its own flags; GCC vectorises what it can.
#pragma once

#include <cmath>

#include "backends/cpu/kernels/elementwise/elementwise.h"

namespace kvant::backends::cpu {
namespace {

inline int32_t code_value(uint8_t bits, bool is_signed) {
  return is_signed ? static_cast<int8_t>(bits) : bits;
}

inline uint8_t to_code(float v, const CodeRange& out) {
  const float low = static_cast<float>(out.low - out.zero_point),
              high = static_cast<float>(out.high - out.zero_point);
  v = v == v ? v : 0.0f;
  v = v < low ? low : v;
  v = v > high ? high : v;
  return static_cast<uint8_t>(static_cast<int32_t>(std::nearbyintf(v)) + out.zero_point);
}

void qadd(const CodePairDesc& d, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float scaled = static_cast<float>(code_value(a[i], d.a_signed) - d.a_zero_point) * d.a_multiplier;
    const float other = static_cast<float>(code_value(b[i], d.b_signed) - d.b_zero_point);
    y[i] = to_code(std::fma(other, d.b_multiplier, scaled), d.out);
  }
}

void qmul(const CodePairDesc& d, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const int32_t product =
        (code_value(a[i], d.a_signed) - d.a_zero_point) * (code_value(b[i], d.b_signed) - d.b_zero_point);
    y[i] = to_code(static_cast<float>(product) * d.a_multiplier, d.out);
  }
}

void quantize_codes(float scale, const CodeRange& out, const float* x, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = to_code(x[i] / scale, out);
}

void dequantize_codes(float scale, int32_t zero_point, bool is_signed, const uint8_t* x, float* y,
                      int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(code_value(x[i], is_signed) - zero_point) * scale;
}

void look_up(const uint8_t* table, const uint8_t* x, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = table[x[i]];
}

constexpr int64_t kChannels = 64;  // at once, in registers or next to them

// Calls fn(first channel, how many) for blocks of channels.
template <class Fn>
void channel_blocks(int64_t n, const Fn& fn) {
  for (int64_t first = 0; first < n; first += kChannels)
    fn(first, n - first < kChannels ? n - first : kChannels);
}

// Calls fn(tap) for each tap of the window.
template <class T, class Fn>
void each_tap(const PoolTaps& taps, const T* x, const Fn& fn) {
  for (int64_t r = 0; r < taps.rows; ++r) {
    for (int64_t c = 0; c < taps.columns; ++c) fn(x + r * taps.row_step + c * taps.column_step);
  }
}

void average_codes(const AverageDesc& d, const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n) {
  const int flip = d.is_signed ? 0x80 : 0;
  channel_blocks(n, [&](int64_t first, int64_t count) {
    int32_t sums[kChannels] = {};
    each_tap(taps, x + first, [&](const uint8_t* tap) {
      for (int64_t i = 0; i < count; ++i) sums[i] += (tap[i] ^ flip) - flip;
    });
    for (int64_t i = 0; i < count; ++i)
      y[first + i] = to_code(static_cast<float>(sums[i] - d.zero) * d.multiplier, d.out);
  });
}

void average_floats(float divisor, const PoolTaps& taps, const float* x, float* y, int64_t n) {
  channel_blocks(n, [&](int64_t first, int64_t count) {
    float sums[kChannels] = {};
    each_tap(taps, x + first, [&](const float* tap) {
      for (int64_t i = 0; i < count; ++i) sums[i] += tap[i];
    });
    for (int64_t i = 0; i < count; ++i) y[first + i] = sums[i] / divisor;
  });
}

template <class T>
void max_of(const PoolTaps& taps, const T* x, T* y, int64_t n) {
  channel_blocks(n, [&](int64_t first, int64_t count) {
    T largest[kChannels];
    for (int64_t i = 0; i < count; ++i) largest[i] = x[first + i];
    each_tap(taps, x + first, [&](const T* tap) {
      for (int64_t i = 0; i < count; ++i) largest[i] = tap[i] > largest[i] ? tap[i] : largest[i];
    });
    for (int64_t i = 0; i < count; ++i) y[first + i] = largest[i];
  });
}

void add_floats(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}
void mul_floats(const float* a, const float* b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b[i];
}
void add_scalar(const float* a, float b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b;
}
void mul_scalar(const float* a, float b, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] * b;
}

inline ElementKernels loop_kernels(std::string_view name, Isa isa) {
  return {name,           isa,
          qadd,           qmul,
          quantize_codes, dequantize_codes,
          look_up,        average_codes,
          average_floats, max_of<uint8_t>,
          max_of<int8_t>, max_of<float>,
          add_floats,     mul_floats,
          add_scalar,     mul_scalar};
}

}  // namespace
}  // namespace kvant::backends::cpu
