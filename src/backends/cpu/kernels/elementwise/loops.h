// SPDX-License-Identifier: Apache-2.0
// The loops in plain C++. Each instruction set's file includes this for itself (hence the unnamed namespace)
// and compiles it with its own flags; GCC vectorises what it can.
#pragma once

#include <cmath>
#include <limits>

#include "backends/cpu/kernels/elementwise/elementwise.h"
#include "tensor/sigmoid.h"

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

void affine_codes(const AffineDesc& d, const uint8_t* x, const float* multiplier, const float* bias,
                  uint8_t* y, int64_t n) {
  const float floor = d.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < n; ++i) {
    const float real = static_cast<float>(code_value(x[i], d.x_signed) - d.x_zero_point) * d.x_scale;
    const float v = real * multiplier[i] + bias[i];
    y[i] = to_code((v < floor ? floor : v) / d.y_scale, d.out);
  }
}

void add_real(const AddRealDesc& d, const uint8_t* a, const float* b, uint8_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float real = static_cast<float>(code_value(a[i], d.a_signed) - d.a_zero_point) * d.a_scale;
    y[i] = to_code((real + b[i]) / d.y_scale, d.out);
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

// Calls use(f) with the function of the operator, so that loops choose it once. A NaN passes through Min and
// Max.
template <class Use>
void with_binary(Binary op, const Use& use) {
  switch (op) {
    case Binary::Add:
      return use([](float a, float b) { return a + b; });
    case Binary::Sub:
      return use([](float a, float b) { return a - b; });
    case Binary::Mul:
      return use([](float a, float b) { return a * b; });
    case Binary::Div:
      return use([](float a, float b) { return a / b; });
    case Binary::Min:
      return use([](float a, float b) { return a < b || a != a ? a : b; });
    case Binary::Max:
      return use([](float a, float b) { return a > b || a != a ? a : b; });
    case Binary::Pow:
      return use([](float a, float b) { return std::pow(a, b); });
    case Binary::PRelu:
      return use([](float a, float b) { return a < 0 ? a * b : a; });
  }
}

void binary_floats(Binary op, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y,
                   int64_t n) {
  if (op == Binary::Pow && b_step == 0 && *b == 2.0f) {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i * a_step] * a[i * a_step];
    return;
  }
  with_binary(op, [&](auto f) {
    if (a_step == 1 && b_step == 1) {
      for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
    } else if (a_step == 1) {
      const float second = *b;
      for (int64_t i = 0; i < n; ++i) y[i] = f(a[i], second);
    } else {
      const float first = *a;
      for (int64_t i = 0; i < n; ++i) y[i] = f(first, b[i * b_step]);
    }
  });
}

template <class Use>
void with_unary(Unary op, const Use& use) {
  switch (op) {
    case Unary::Erf:
      return use([](float x) { return std::erf(x); });
    case Unary::Sqrt:
      return use([](float x) { return std::sqrt(x); });
    case Unary::Exp:
      return use([](float x) { return std::exp(x); });
    case Unary::Log:
      return use([](float x) { return std::log(x); });
    case Unary::Neg:
      return use([](float x) { return -x; });
    case Unary::Abs:
      return use([](float x) { return std::fabs(x); });
    case Unary::Reciprocal:
      return use([](float x) { return 1.0f / x; });
    case Unary::Floor:
      return use([](float x) { return std::floor(x); });
    case Unary::Ceil:
      return use([](float x) { return std::ceil(x); });
    case Unary::Round:
      return use([](float x) { return std::nearbyint(x); });
    case Unary::Sigmoid:
      return use([](float x) { return sigmoid(x); });
  }
}

void unary_floats(Unary op, const float* x, float* y, int64_t n) {
  with_unary(op, [&](auto f) {
    for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
  });
}

template <class Code>
void bound_of(bool above, const Code* a, const Code* b, int64_t b_step, Code* y, int64_t n) {
  if (b_step == 0) {
    const Code bound = *b;
    for (int64_t i = 0; i < n; ++i) y[i] = (a[i] < bound) == above ? a[i] : bound;
  } else if (above) {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] < b[i] ? a[i] : b[i];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] > b[i] ? a[i] : b[i];
  }
}

// Two taps, which linear interpolation has, in one pass over y; others in strips that stay near.
constexpr int64_t kSumStrip = 256;

template <class Row, class Result>
void sum_taps(const Row& row, const double* weight, int taps, Result* y, int64_t n) {
  if (taps == 2) {
    const auto *a = row(0), *b = row(1);
    const double wa = weight[0], wb = weight[1];
    for (int64_t i = 0; i < n; ++i)
      y[i] = static_cast<Result>(0.0 + static_cast<double>(a[i]) * wa + static_cast<double>(b[i]) * wb);
    return;
  }
  for (int64_t first = 0; first < n; first += kSumStrip) {
    const int64_t count = n - first < kSumStrip ? n - first : kSumStrip;
    double sums[kSumStrip];
    for (int64_t i = 0; i < count; ++i) sums[i] = 0.0;
    for (int k = 0; k < taps; ++k) {
      const auto* x = row(k) + first;
      const double w = weight[k];
      for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(x[i]) * w;
    }
    for (int64_t i = 0; i < count; ++i) y[first + i] = static_cast<Result>(sums[i]);
  }
}

void sum_reals(const float* x, const int32_t* index, int64_t step, const double* weight, int taps, double* y,
               int64_t n) {
  sum_taps([&](int k) { return x + index[k] * step; }, weight, taps, y, n);
}

void sum_rows(const double* const* rows, const double* weight, int taps, float* y, int64_t n) {
  sum_taps([&](int k) { return rows[k]; }, weight, taps, y, n);
}

constexpr ElementKernels loop_kernels(std::string_view name, Isa isa) {
  return {name,
          isa,
          qadd,
          qmul,
          affine_codes,
          add_real,
          quantize_codes,
          dequantize_codes,
          look_up,
          average_codes,
          average_floats,
          max_of<uint8_t>,
          max_of<int8_t>,
          max_of<float>,
          binary_floats,
          bound_of<uint8_t>,
          bound_of<int8_t>,
          sum_reals,
          sum_rows,
          unary_floats};
}

}  // namespace
}  // namespace kvant::backends::cpu
