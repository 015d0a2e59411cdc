// SPDX-License-Identifier: Apache-2.0
// What integer kernels do with an exact int32 sum: the three forms of docs/lowered-ops.md, as plain data, and
// their scalar definition on tensor/quantize.h. Vector code is tested bit for bit against finish_code() and
// finish_real().
#pragma once

#include <cmath>
#include <cstdint>
#include <memory>

#include "backends/cpu/kernels/activation/code_curve.h"
#include "tensor/activation.h"
#include "tensor/quantize.h"

namespace kvant::backends::cpu {

// Element types that integer kernels read and write.
enum class Code : uint8_t { None, U8, I8, F32 };

inline int64_t code_bytes(Code code) { return code == Code::F32 ? 4 : 1; }

// A code as u8: i8 is held as value + 128, so that one kernel serves both (its zero point moves by 128 too).
inline uint8_t as_unsigned(uint8_t bits, bool is_signed) {
  return is_signed ? static_cast<uint8_t>(bits ^ 0x80) : bits;
}

struct Epilogue {
  Code output = Code::U8;
  Code residual = Code::None;
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
  int32_t zero_point = 0, low = 0, high = 255;  // of the output's codes
  float inverse_scale = 1;                      // used with an activation and an integer output
  float residual_multiplier = 0;
  int32_t residual_zero_point = 0;
  std::shared_ptr<const CodeCurve> curve;  // of activation and scale together; may be absent

  bool codes() const { return output != Code::F32; }
};

// Gives the epilogue its curve, if its activation has one.
inline void add_curve(Epilogue& e) {
  if (e.codes() && e.activation != Activation::None) {
    e.curve =
        make_code_curve(e.activation, e.alpha, e.beta, e.inverse_scale,
                        static_cast<float>(e.low - e.zero_point), static_cast<float>(e.high - e.zero_point));
  }
}

// The residual element `i` of a row as a real: code minus zero point, or the float itself.
inline float residual_at(const Epilogue& e, const uint8_t* residual, int64_t i) {
  if (e.residual == Code::F32) return reinterpret_cast<const float*>(residual)[i];
  const int32_t code = e.residual == Code::I8 ? static_cast<int8_t>(residual[i]) : residual[i];
  return static_cast<float>(code - e.residual_zero_point);
}

// The value before activation and rounding. `residual` is a row of residual elements, or nullptr.
inline float epilogue_value(const Epilogue& e, int32_t acc, float multiplier, float bias,
                            const uint8_t* residual, int64_t i) {
  float v = std::fma(static_cast<float>(acc), multiplier, bias);
  if (e.residual != Code::None) v = std::fma(residual_at(e, residual, i), e.residual_multiplier, v);
  return v;
}

inline float finish_real(const Epilogue& e, float v) {
  return e.activation == Activation::None ? v : activate(e.activation, v, e.alpha, e.beta);
}

inline uint8_t finish_code(const Epilogue& e, float v) {
  if (e.activation != Activation::None) v = activate(e.activation, v, e.alpha, e.beta) * e.inverse_scale;
  const int64_t code = static_cast<int64_t>(round_even(v)) + e.zero_point;
  return static_cast<uint8_t>(std::clamp<int64_t>(code, e.low, e.high));
}

// Writes element `i` of an output row.
inline void finish(const Epilogue& e, float v, uint8_t* y, int64_t i) {
  if (e.codes()) {
    y[i] = finish_code(e, v);
  } else {
    reinterpret_cast<float*>(y)[i] = finish_real(e, v);
  }
}

}  // namespace kvant::backends::cpu
