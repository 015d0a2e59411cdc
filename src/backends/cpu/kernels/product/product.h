// SPDX-License-Identifier: Apache-2.0
// Products of two tensors of codes, as attention has them: both operands come at run time. Formula: QMatMul
// in docs/lowered-ops.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "backends/cpu/kernels/epilogue.h"
#include "base/cpu.h"

namespace kvant::backends::cpu {

// A matrix of codes somewhere in memory; steps in elements.
struct CodeMatrix {
  const uint8_t* data = nullptr;
  int64_t row_step = 0, column_step = 0;
};

// y[m,n] = sum over k of (a[m,k] - za) * (b[k,n] - zb), times multiplier, as f32 or codes.
struct ProductDesc {
  int64_t m = 0, n = 0, k = 0;
  bool a_signed = false, b_signed = false;
  int32_t a_zero_point = 0, b_zero_point = 0;
  float multiplier = 1;
  Code output = Code::F32;
  int32_t zero_point = 0, low = 0, high = 255;  // of codes
};

// Where the result goes: element (m, n) at data + m * row_step + n (in elements of the output).
struct ProductResult {
  std::byte* data = nullptr;
  int64_t row_step = 0;
};

struct ProductKernels {
  std::string_view name;  // of the instruction set, as it ends tactics' names
  Isa isa;
  // Bytes of a packed b, and of scratch beside it; multiples of 64.
  size_t (*packed_bytes)(const ProductDesc& desc);
  size_t (*scratch_bytes)(const ProductDesc& desc);
  void (*pack)(const ProductDesc& desc, const CodeMatrix& b, std::byte* packed);
  // Rows [first, last) of the result.
  void (*run)(const ProductDesc& desc, const CodeMatrix& a, const std::byte* packed, const ProductResult& y,
              int64_t first, int64_t last, std::byte* scratch);
};

// Best first (kernels.inc).
std::span<const ProductKernels> product_kernels();

// Sums of 32 bits hold every product up to this many terms.
inline constexpr int64_t kMaxProductTerms = 32768;

}  // namespace kvant::backends::cpu
