// SPDX-License-Identifier: Apache-2.0
// The product in plain C++ over int16 codes without zero points. Each instruction set's file includes this
// for itself and compiles it with its own flags; GCC turns the pairs into vpmaddwd.
#pragma once

#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/product/product.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kLoopColumns = 16;

inline int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

inline int16_t centred_code(uint8_t bits, bool is_signed, int32_t zero_point) {
  return static_cast<int16_t>((is_signed ? static_cast<int8_t>(bits) : bits) - zero_point);
}

inline void finish_element(const ProductDesc& d, int32_t acc, std::byte* y, int64_t i) {
  const float v = static_cast<float>(acc) * d.multiplier;
  if (d.output == Code::F32) {
    reinterpret_cast<float*>(y)[i] = v;
  } else {
    const int64_t code = static_cast<int64_t>(round_even(v)) + d.zero_point;
    reinterpret_cast<uint8_t*>(y)[i] = static_cast<uint8_t>(std::clamp<int64_t>(code, d.low, d.high));
  }
}

// [block of 16 columns][pair of k][column][2]
inline size_t loop_packed_bytes(const ProductDesc& d) {
  return static_cast<size_t>(up(up(d.n, kLoopColumns) * up(d.k, 2) * 2, 64));
}

inline size_t loop_scratch_bytes(const ProductDesc& d) { return static_cast<size_t>(up(up(d.k, 2) * 2, 64)); }

inline void loop_pack(const ProductDesc& d, const CodeMatrix& b, std::byte* packed) {
  std::memset(packed, 0, loop_packed_bytes(d));
  auto* out = reinterpret_cast<int16_t*>(packed);
  const int64_t pairs = up(d.k, 2) / 2;
  for (int64_t n = 0; n < d.n; ++n) {
    int16_t* column = out + (n / kLoopColumns * pairs * kLoopColumns + n % kLoopColumns) * 2;
    for (int64_t k = 0; k < d.k; ++k) {
      column[k / 2 * kLoopColumns * 2 + k % 2] =
          centred_code(b.data[k * b.row_step + n * b.column_step], d.b_signed, d.b_zero_point);
    }
  }
}

[[maybe_unused]] inline void loop_run(const ProductDesc& d, const CodeMatrix& a, const std::byte* packed,
                                      const ProductResult& y, int64_t first, int64_t last,
                                      std::byte* scratch) {
  auto* row = reinterpret_cast<int16_t*>(scratch);
  const int64_t pairs = up(d.k, 2) / 2, element = code_bytes(d.output);
  for (int64_t m = first; m < last; ++m) {
    row[2 * pairs - 1] = 0;
    for (int64_t k = 0; k < d.k; ++k)
      row[k] = centred_code(a.data[m * a.row_step + k * a.column_step], d.a_signed, d.a_zero_point);
    std::byte* out = y.data + m * y.row_step * element;
    for (int64_t n = 0; n < d.n; n += kLoopColumns) {
      const int16_t* w = reinterpret_cast<const int16_t*>(packed) + n * pairs * 2;
      int32_t acc[kLoopColumns] = {};
      for (int64_t p = 0; p < pairs; ++p, w += 2 * kLoopColumns) {
        for (int64_t j = 0; j < kLoopColumns; ++j)
          acc[j] += row[2 * p] * w[2 * j] + row[2 * p + 1] * w[2 * j + 1];
      }
      for (int64_t j = 0; j < std::min(kLoopColumns, d.n - n); ++j) finish_element(d, acc[j], out, n + j);
    }
  }
}

[[maybe_unused]] constexpr ProductKernels loop_product(std::string_view name, Isa isa) {
  return {name, isa, loop_packed_bytes, loop_scratch_bytes, loop_pack, loop_run};
}

}  // namespace
}  // namespace kvant::backends::cpu
