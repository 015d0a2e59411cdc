// SPDX-License-Identifier: Apache-2.0
// Loops over rows of codes and floats: what is not a sum of products. Formulas: docs/lowered-ops.md. All
// pointers are to `n` elements; y may be the same memory as an input of the same element size.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "backends/cpu/kernels/epilogue.h"
#include "base/cpu.h"

namespace kvant::backends::cpu {

// Codes of a result: clamp(round_even(v) + zero_point, low, high).
struct CodeRange {
  int32_t zero_point = 0, low = 0, high = 255;
};

// QAdd: v = fma(b - zb, b_multiplier, (a - za) * a_multiplier). QMul: v = float((a - za) * (b - zb)) *
// a_multiplier.
struct CodePairDesc {
  bool a_signed = false, b_signed = false;
  float a_multiplier = 1, b_multiplier = 1;
  int32_t a_zero_point = 0, b_zero_point = 0;
  CodeRange out;
};

struct ElementKernels {
  std::string_view name;  // of the instruction set, as it ends tactics' names
  Isa isa;
  void (*qadd)(const CodePairDesc& desc, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n);
  void (*qmul)(const CodePairDesc& desc, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n);
  // clamp(round_even(x / scale) + zero_point)
  void (*quantize)(float scale, const CodeRange& out, const float* x, uint8_t* y, int64_t n);
  // float(code - zero_point) * scale
  void (*dequantize)(float scale, int32_t zero_point, bool is_signed, const uint8_t* x, float* y, int64_t n);
  // sums += codes
  void (*accumulate)(bool is_signed, const uint8_t* x, int32_t* sums, int64_t n);
  // clamp(round_even(float(sums) * multiplier) + zero_point)
  void (*requantize_sums)(float multiplier, const CodeRange& out, const int32_t* sums, uint8_t* y, int64_t n);
  // y = max(y, x)
  void (*max_u8)(const uint8_t* x, uint8_t* y, int64_t n);
  void (*max_i8)(const int8_t* x, int8_t* y, int64_t n);
  void (*max_f32)(const float* x, float* y, int64_t n);
  // y = a + b, a * b, and with one b for all
  void (*add_f32)(const float* a, const float* b, float* y, int64_t n);
  void (*mul_f32)(const float* a, const float* b, float* y, int64_t n);
  void (*add_scalar_f32)(const float* a, float b, float* y, int64_t n);
  void (*mul_scalar_f32)(const float* a, float b, float* y, int64_t n);
};

// Best first (kernels.inc).
std::span<const ElementKernels> element_kernels();

}  // namespace kvant::backends::cpu
