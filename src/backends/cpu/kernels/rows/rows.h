// SPDX-License-Identifier: Apache-2.0
// Softmax and layer normalization of one row, to floats or (the Q behind them taken in) to codes. Codes are
// the definition's bit for bit: what lies too near to a rounding tie is computed again in double, as the
// operators are.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "backends/cpu/kernels/epilogue.h"
#include "base/cpu.h"

namespace kvant::backends::cpu {

// clamp(round_even(x / scale) + zero_point, low, high); F32: x as it is.
struct RowOutput {
  Code output = Code::F32;
  float scale = 1;
  int32_t zero_point = 0, low = 0, high = 255;
};

struct LayerNormDesc {
  float epsilon = 1e-5f;
  const float* gain = nullptr;  // one for each element of a row
  const float* bias = nullptr;  // or nullptr
  RowOutput out;
};

struct RowKernels {
  std::string_view name;  // of the instruction set, as it ends tactics' names
  Isa isa;
  // y has n elements of the output's type; scratch holds n floats.
  void (*softmax)(const RowOutput& out, const float* x, std::byte* y, int64_t n, float* scratch);
  void (*layer_norm)(const LayerNormDesc& desc, const float* x, std::byte* y, int64_t n, float* scratch);
};

// Best first (kernels.inc).
std::span<const RowKernels> row_kernels();

// By definition, in double: element i of a row.
class ExactSoftmax {
 public:
  ExactSoftmax(const float* x, int64_t n);
  float at(int64_t i) const;

 private:
  const float* x_;
  double largest_, sum_;
};

class ExactLayerNorm {
 public:
  ExactLayerNorm(const LayerNormDesc& desc, const float* x, int64_t n);
  float at(int64_t i) const;

 private:
  const LayerNormDesc& desc_;
  const float* x_;
  double mean_, factor_;
};

// Writes x as element i of y.
inline void store_row_element(const RowOutput& out, float x, std::byte* y, int64_t i) {
  if (out.output == Code::F32) {
    reinterpret_cast<float*>(y)[i] = x;
  } else {
    const int64_t code = static_cast<int64_t>(round_even(x / out.scale)) + out.zero_point;
    reinterpret_cast<uint8_t*>(y)[i] = static_cast<uint8_t>(std::clamp<int64_t>(code, out.low, out.high));
  }
}

}  // namespace kvant::backends::cpu
