// SPDX-License-Identifier: Apache-2.0
// THE quantization arithmetic. Everything that rounds, saturates or requantizes calls this or is tested bit
// for bit against it. Formulas: ONNX QuantizeLinear / DequantizeLinear (opset 10-25); the epilogue is kvant's
// own contract, the same for interpreter, CPU kernels and CUDA kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace kvant {

struct IntRange {
  int32_t low;
  int32_t high;
  friend bool operator==(IntRange, IntRange) = default;
};

// Codes of an integer type: [-128,127], [0,255], the 16-bit ranges, int32.
IntRange code_range(DType dtype);

// How a real tensor is held in integers: real = (code - zero_point) * scale.
// Per tensor: one scale, axis == kPerTensor. Per channel: one scale for each index of `axis`.
struct QuantParams {
  static constexpr int64_t kPerTensor = -1;
  DType dtype = DType::Int8;
  std::vector<float> scale;
  std::vector<int32_t> zero_point;  // empty means all zero
  int64_t axis = kPerTensor;

  bool per_tensor() const { return axis == kPerTensor; }
  int32_t zero_point_at(size_t i) const {
    return zero_point.empty() ? 0 : zero_point[zero_point.size() == 1 ? 0 : i];
  }
  friend bool operator==(const QuantParams&, const QuantParams&) = default;
};

// Round half to even, saturating to int32 (NaN gives 0). Relies on the default rounding mode.
inline int32_t round_even(float x) {
  if (!(x > -2147483648.0f)) return x != x ? 0 : INT32_MIN;
  if (x >= 2147483648.0f) return INT32_MAX;
  return static_cast<int32_t>(std::nearbyintf(x));
}

// q = clamp(round_even(x / scale) + zero_point, range): a true division, as ONNX's reference does.
inline int32_t quantize_value(float x, float scale, int32_t zero_point, IntRange range) {
  const int64_t code = static_cast<int64_t>(round_even(x / scale)) + zero_point;
  return static_cast<int32_t>(std::clamp<int64_t>(code, range.low, range.high));
}
inline float dequantize_value(int32_t code, float scale, int32_t zero_point) {
  return static_cast<float>(static_cast<int64_t>(code) - zero_point) * scale;
}

// Whole tensors; x is float (f32, or f16/bf16 widened), codes are int8/uint8/int16/uint16/int32.
// Fails if a per-channel scale does not fit the axis.
Tensor quantize(const Tensor& x, const QuantParams& params);
Tensor dequantize(const Tensor& codes, const QuantParams& params);
// dequantize(quantize(x)): what a Q/DQ pair does.
Tensor fake_quantize(const Tensor& x, const QuantParams& params);

// Symmetric scale for a tensor whose largest magnitude is `amax`, for `bits`-bit codes: amax / (2^(bits-1) -
// 1). amax == 0 gives 1 (all codes are 0 then).
float symmetric_scale(float amax, int bits = 8);

// The epilogue of every integer kernel, in units of the output's scale:
//   acc = sum (x - zp_x) * (w - zp_w)                 exact int32, whatever offset the kernel works with
//   v = fma(float(acc), multiplier, bias)             multiplier = s_x * s_w[k] / s_y,  bias = b[k] / s_y
//   v = fma(float(r - zp_r), residual_multiplier, v)  residual_multiplier = s_r / s_y
//   q = clamp(round_even(v) + zero_point, low, high)  ReLU: low = zero_point; Clip: codes of its bounds
// Multipliers are folded in double and rounded once to float.
inline int32_t requantize(int32_t acc, float multiplier, float bias, int32_t zero_point, IntRange range) {
  const int64_t code =
      static_cast<int64_t>(round_even(std::fma(static_cast<float>(acc), multiplier, bias))) + zero_point;
  return static_cast<int32_t>(std::clamp<int64_t>(code, range.low, range.high));
}
inline int32_t requantize_add(int32_t acc, float multiplier, float bias, int32_t residual,
                              float residual_multiplier, int32_t zero_point, IntRange range) {
  const float conv = std::fma(static_cast<float>(acc), multiplier, bias);
  const float sum = std::fma(static_cast<float>(residual), residual_multiplier, conv);
  const int64_t code = static_cast<int64_t>(round_even(sum)) + zero_point;
  return static_cast<int32_t>(std::clamp<int64_t>(code, range.low, range.high));
}

}  // namespace kvant
