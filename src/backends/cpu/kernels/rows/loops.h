// SPDX-License-Identifier: Apache-2.0
// Rows in blocks of 16 floats. Each instruction set's file includes this for itself (hence the unnamed
// namespace) and compiles it with its own flags; GCC makes vectors of the inner loops.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <optional>

#include "backends/cpu/kernels/rows/rows.h"

namespace kvant::backends::cpu {
namespace {

[[maybe_unused]] constexpr int64_t kLanes = 16;
// A result in codes is sure when it is farther from a tie than this part of what was added up to make it.
constexpr float kRelativeError = 0x1p-19f, kAbsoluteError = 0x1p-22f;
constexpr int64_t kPartialSum =
    16;  // blocks that are added up in float, so that the sum's error stays below 2^-21

// e^x for x <= 0, relative error below 3e-7: 2^n by its bits, the rest (|r| <= ln 2 / 2) by its Taylor
// polynomial.
[[gnu::always_inline]] inline float exp_of(float x) {
  x = x < -87.0f ? -87.0f : x;
  const float shifted =
      x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the rounded integer
  const float n = shifted - 12582912.0f;
  const float r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

// Calls fn(first, count) for blocks of the row; count is kLanes but for the last.
template <class Fn>
void row_blocks(int64_t n, const Fn& fn) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, kLanes);
  if (i < n) fn(i, n - i);
}

// Codes of t[0..count), which are results in units of the scale, and `error` what each may be off by. Returns
// whether all of them are sure.
[[gnu::always_inline]] inline bool codes_of(const RowOutput& out, const float* t, const float* error,
                                            int64_t count, uint8_t* y) {
  const float low = static_cast<float>(out.low - out.zero_point),
              high = static_cast<float>(out.high - out.zero_point);
  int unsure = 0;
  for (int64_t i = 0; i < count; ++i) {
    float v = t[i] < low - 1.0f ? low - 1.0f : t[i];
    v = v > high + 1.0f ? high + 1.0f : v;
    const float rounded = (v + 12582912.0f) - 12582912.0f;
    const float distance = std::fabs(v - rounded);
    unsure |= !(distance + error[i] < 0.5f);
    float code = rounded < low ? low : rounded;
    code = code > high ? high : code;
    y[i] = static_cast<uint8_t>(static_cast<int32_t>(code) + out.zero_point);
  }
  return unsure == 0;
}

// Those of a block that are not sure, from the definition.
template <class Exact>
void redo(const RowOutput& out, const Exact& exact, const float* t, const float* error, int64_t first,
          int64_t count, std::byte* y) {
  for (int64_t i = 0; i < count; ++i) {
    const float distance = std::fabs(t[i] - std::nearbyintf(t[i]));
    if (!(distance + error[i] < 0.499f)) store_row_element(out, exact.at(first + i), y, first + i);
  }
}

// Some code of a block is not sure. With the element's own exponential in double, over the sum of the others'
// floats, the error is a quarter; what is not sure even then is computed by definition.
[[gnu::noinline]] inline void redo_softmax(const RowOutput& out, const float* x, const float* e, float top,
                                           int64_t n, int64_t first, int64_t count, std::byte* y) {
  double sums[kLanes] = {};
  row_blocks(n, [&](int64_t begin, int64_t length) {
    for (int64_t i = 0; i < length; ++i) sums[i] += static_cast<double>(e[begin + i]);
  });
  double sum = 0;
  for (const double v : sums) sum += v;
  std::optional<ExactSoftmax> exact;
  for (int64_t i = first; i < first + count; ++i) {
    const double t =
        std::exp(static_cast<double>(x[i]) - static_cast<double>(top)) / sum / static_cast<double>(out.scale);
    const double rounded = std::nearbyint(t);
    if (std::abs(t - rounded) + t * 0x1p-21 + 0x1p-24 < 0.5) {
      const double code = std::min(std::max(rounded + out.zero_point, static_cast<double>(out.low)),
                                   static_cast<double>(out.high));
      reinterpret_cast<uint8_t*>(y)[i] = static_cast<uint8_t>(static_cast<int32_t>(code));
      continue;
    }
    if (!exact) exact.emplace(x, n);
    store_row_element(out, exact->at(i), y, i);
  }
}

[[maybe_unused]] inline void softmax_row(const RowOutput& out, const float* x, std::byte* y, int64_t n,
                                         float* e) {
  float largest[kLanes];
  for (float& v : largest) v = x[0];
  row_blocks(n, [&](int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) largest[i] = largest[i] < x[first + i] ? x[first + i] : largest[i];
  });
  float top = largest[0];
  for (const float v : largest) top = top < v ? v : top;
  double sum = 0;
  for (int64_t begin = 0; begin < n; begin += kPartialSum * kLanes) {
    float sums[kLanes] = {};
    const int64_t part = n - begin < kPartialSum * kLanes ? n - begin : kPartialSum * kLanes;
    row_blocks(part, [&](int64_t first, int64_t count) {
      for (int64_t i = 0; i < count; ++i) {
        const float v = exp_of(x[begin + first + i] - top);
        e[begin + first + i] = v;
        sums[i] += v;
      }
    });
    for (const float v : sums) sum += v;
  }
  const bool reals = out.output == Code::F32;
  const float factor = static_cast<float>(1.0 / (reals ? sum : sum * static_cast<double>(out.scale)));
  if (reals) {
    auto* to = reinterpret_cast<float*>(y);
    for (int64_t i = 0; i < n; ++i) to[i] = e[i] * factor;
    return;
  }
  row_blocks(n, [&](int64_t first, int64_t count) {
    float t[kLanes], error[kLanes];
    for (int64_t i = 0; i < count; ++i) {
      t[i] = e[first + i] * factor;
      error[i] = t[i] * kRelativeError + kAbsoluteError;
    }
    if (codes_of(out, t, error, count, reinterpret_cast<uint8_t*>(y) + first)) return;
    redo_softmax(out, x, e, top, n, first, count, y);
  });
}

// y = (x - rough - mean) * factor * gain + unit * bias, in units of the output's scale; from the sums of
// differences from the rough mean and of their squares.
struct NormFactors {
  float mean, factor, unit, around;  // around: what errors of the mean are in proportion to

  NormFactors(const LayerNormDesc& d, float rough, double differences, double squares, int64_t n) {
    const double first = differences / static_cast<double>(n),
                 second = squares / static_cast<double>(n) - first * first;
    const double deviation = 1.0 / std::sqrt((second > 0 ? second : 0) + static_cast<double>(d.epsilon));
    const double in_units = d.out.output == Code::F32 ? 1.0 : 1.0 / static_cast<double>(d.out.scale);
    mean = static_cast<float>(first);
    factor = static_cast<float>(deviation * in_units);
    unit = static_cast<float>(in_units);
    around = std::fabs(rough) + std::fabs(mean);
  }
};

[[maybe_unused]] inline void layer_norm_row(const LayerNormDesc& d, const float* x, std::byte* y, int64_t n,
                                            float*) {
  float sums[kLanes] = {};
  row_blocks(n, [&](int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) sums[i] += x[first + i];
  });
  double sum = 0;
  for (const float v : sums) sum += v;
  const auto rough = static_cast<float>(sum / static_cast<double>(n));
  // Around the rough mean, whose own error the sum of differences takes off again.
  float differences[kLanes] = {}, squares[kLanes] = {};
  row_blocks(n, [&](int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
      const float v = x[first + i] - rough;
      differences[i] += v;
      squares[i] += v * v;
    }
  });
  double first_moment = 0, second_moment = 0;
  for (int64_t i = 0; i < kLanes; ++i) {
    first_moment += static_cast<double>(differences[i]);
    second_moment += static_cast<double>(squares[i]);
  }
  const NormFactors f(d, rough, first_moment, second_moment, n);
  const bool reals = d.out.output == Code::F32;
  row_blocks(n, [&](int64_t first, int64_t count) {
    float t[kLanes], error[kLanes];
    for (int64_t i = 0; i < count; ++i) {
      const float v = (x[first + i] - rough) - f.mean, g = d.gain[first + i] * f.factor;
      const float b = d.bias == nullptr ? 0.0f : d.bias[first + i] * f.unit;
      t[i] = v * g + b;
      error[i] = ((std::fabs(v) + f.around) * std::fabs(g) + std::fabs(b)) * kRelativeError + kAbsoluteError;
    }
    if (reals) {
      std::memcpy(reinterpret_cast<float*>(y) + first, t, static_cast<size_t>(count) * 4);
    } else if (!codes_of(d.out, t, error, count, reinterpret_cast<uint8_t*>(y) + first)) {
      redo(d.out, ExactLayerNorm(d, x, n), t, error, first, count, y);
    }
  });
}

[[maybe_unused]] constexpr RowKernels loop_rows(std::string_view name, Isa isa) {
  return {name, isa, softmax_row, layer_norm_row};
}

}  // namespace
}  // namespace kvant::backends::cpu
