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

// QChannelAffine: v = relu?(float(x - zx) * x_scale * multiplier[c] + bias[c]), each step rounded; codes of
// v / y_scale.
struct AffineDesc {
  bool x_signed = false, relu = false;
  int32_t x_zero_point = 0;
  float x_scale = 1, y_scale = 1;
  CodeRange out;
};

// QAddReal: codes of (float(a - za) * a_scale + b) / y_scale, each step rounded.
struct AddRealDesc {
  bool a_signed = false;
  int32_t a_zero_point = 0;
  float a_scale = 1, y_scale = 1;
  CodeRange out;
};

// The elements of one channel under a pool's window: rows * columns of them, at least one of each.
struct PoolTaps {
  int64_t rows = 1, columns = 1, row_step = 0, column_step = 0;  // steps in elements
};

// clamp(round_even(float(sum - zero) * multiplier) + zero_point) of each channel.
struct AverageDesc {
  bool is_signed = false;
  int32_t zero = 0;
  float multiplier = 1;
  CodeRange out;
};

// ONNX's operators of these names.
enum class Binary { Add, Sub, Mul, Div, Min, Max, Pow, PRelu };
enum class Unary { Erf, Sqrt, Exp, Log, Neg, Abs, Reciprocal, Floor, Ceil, Round, Sigmoid };

struct ElementKernels {
  std::string_view name;  // of the instruction set, as it ends tactics' names
  Isa isa;
  void (*qadd)(const CodePairDesc& desc, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n);
  void (*qmul)(const CodePairDesc& desc, const uint8_t* a, const uint8_t* b, uint8_t* y, int64_t n);
  // Of n neighbouring channels: one multiplier and bias for each element.
  void (*affine)(const AffineDesc& desc, const uint8_t* x, const float* multiplier, const float* bias,
                 uint8_t* y, int64_t n);
  void (*add_real)(const AddRealDesc& desc, const uint8_t* a, const float* b, uint8_t* y, int64_t n);
  // clamp(round_even(x / scale) + zero_point)
  void (*quantize)(float scale, const CodeRange& out, const float* x, uint8_t* y, int64_t n);
  // float(code - zero_point) * scale
  void (*dequantize)(float scale, int32_t zero_point, bool is_signed, const uint8_t* x, float* y, int64_t n);
  // y[i] = table[x[i]]
  void (*look_up)(const uint8_t* table, const uint8_t* x, uint8_t* y, int64_t n);
  // Over n neighbouring channels, of which x is the first tap of the first.
  void (*average)(const AverageDesc& desc, const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n);
  void (*average_f32)(float count, const PoolTaps& taps, const float* x, float* y, int64_t n);
  void (*max_u8)(const PoolTaps& taps, const uint8_t* x, uint8_t* y, int64_t n);
  void (*max_i8)(const PoolTaps& taps, const int8_t* x, int8_t* y, int64_t n);
  void (*max_f32)(const PoolTaps& taps, const float* x, float* y, int64_t n);
  // y = a op b; a step of 0 repeats the first element.
  void (*binary_f32)(Binary op, const float* a, int64_t a_step, const float* b, int64_t b_step, float* y,
                     int64_t n);
  // The smaller (`above`) or larger of two codes; a step of 0 repeats the first of b.
  void (*bound_u8)(bool above, const uint8_t* a, const uint8_t* b, int64_t b_step, uint8_t* y, int64_t n);
  void (*bound_i8)(bool above, const int8_t* a, const int8_t* b, int64_t b_step, int8_t* y, int64_t n);
  // y[i] = the sum over k of weight[k] * x[index[k] * step + i], in double from 0.0 on in this order.
  void (*sum_reals)(const float* x, const int32_t* index, int64_t step, const double* weight, int taps,
                    double* y, int64_t n);
  // y[i] = the sum over k of weight[k] * rows[k][i], in the same way, as float.
  void (*sum_rows)(const double* const* rows, const double* weight, int taps, float* y, int64_t n);
  void (*unary_f32)(Unary op, const float* x, float* y, int64_t n);
};

// Best first (kernels.inc).
std::span<const ElementKernels> element_kernels();

}  // namespace kvant::backends::cpu
