// SPDX-License-Identifier: Apache-2.0
// What integer kernels do with an exact int32 sum, as plain data: the three forms of docs/lowered-ops.md.
#pragma once

#include <cstdint>

#include "tensor/activation.h"

namespace kvant::backends::cuda {

// Element types that kernels read and write.
enum class Code : int32_t { None, U8, I8, F32 };

inline int64_t code_bytes(Code code) { return code == Code::F32 ? 4 : 1; }

// Codes of a result: clamp(round_even(v) + zero_point, low, high).
struct CodeRange {
  int32_t zero_point = 0, low = 0, high = 255;
};

struct Epilogue {
  Code output = Code::U8;
  Code residual = Code::None;
  Activation activation = Activation::None;
  float alpha = 0, beta = 0;
  CodeRange out;            // integer output only
  float inverse_scale = 1;  // integer output with an activation
  float residual_multiplier = 0;
  int32_t residual_zero_point = 0;

  bool codes() const { return output != Code::F32; }
};

}  // namespace kvant::backends::cuda
