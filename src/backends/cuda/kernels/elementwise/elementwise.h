// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels over `count` elements: codes, tables, floats. Formulas: docs/lowered-ops.md and ONNX's
// operators. y may be the same memory as an input of the same element size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "backends/cuda/kernels/epilogue.h"

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// QAdd: v = fma(b - zb, b_multiplier, (a - za) * a_multiplier).
// QMul: v = float((a - za) * (b - zb)) * a_multiplier.
struct CodePairDesc {
  bool a_signed = false, b_signed = false;
  float a_multiplier = 1, b_multiplier = 1;
  int32_t a_zero_point = 0, b_zero_point = 0;
  CodeRange out;
};
Launch add_codes_launch(const CodePairDesc& desc, int64_t count, const void* a, const void* b, void* y);
Launch multiply_codes_launch(const CodePairDesc& desc, int64_t count, const void* a, const void* b, void* y);
// b is [n,1,1,c] and a [n,pixels,c].
Launch multiply_channels_launch(const CodePairDesc& desc, int64_t n, int64_t pixels, int64_t c, const void* a,
                                const void* b, void* y);

// QAddReal: v = float(a - za) * a_scale + b, rounded twice; codes of v / y_scale. b is f32.
struct AddRealDesc {
  bool a_signed = false;
  float a_scale = 1, y_scale = 1;
  int32_t a_zero_point = 0;
  CodeRange out;
};
Launch add_real_launch(const AddRealDesc& desc, int64_t count, const void* a, const void* b, void* y);

// clamp(round_even(x / scale) + zero_point, low, high), per tensor; `scale` is as in the model.
Launch quantize_launch(float scale, const CodeRange& out, int64_t count, const void* x, void* y);
// float(code - zero_point) * scale
Launch dequantize_launch(float scale, int32_t zero_point, bool is_signed, int64_t count, const void* x,
                         void* y);
// y[i] = table[byte of x[i]]; 256 elements of 1 or 4 bytes.
Launch look_up_launch(int64_t element_bytes, int64_t count, const void* table, const void* x, void* y);

// y = activation(x) in float, as tensor/activation.h (within rounding).
Launch activation_launch(Activation activation, float alpha, float beta, int64_t count, const void* x,
                         void* y);
enum class Unary : int32_t { Erf, Sqrt, Exp, Log, Neg, Abs, Reciprocal, Floor, Ceil, Round };
Launch unary_launch(Unary op, int64_t count, const void* x, void* y);

// y = a op b over y's shape (up to 6 axes, slowest first); strides in elements, 0 along broadcast axes.
enum class Binary : int32_t { Add, Sub, Mul, Div, Min, Max, Pow };
struct BinaryDesc {
  static constexpr int kMaxRank = 6;
  Binary op = Binary::Add;
  int32_t rank = 1;
  std::array<int64_t, kMaxRank> shape{}, a_stride{}, b_stride{};
};
Launch binary_launch(const BinaryDesc& desc, const void* a, const void* b, void* y);

}  // namespace kvant::backends::cuda
