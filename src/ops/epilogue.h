// SPDX-License-Identifier: Apache-2.0
// The epilogue of QConv and QGemm (docs/lowered-ops.md): from an exact accumulator to a code or a float.
// Parsed once from a node's attributes; kernels are held to these functions bit for bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string_view>
#include <vector>

#include "ir/op_def.h"
#include "tensor/activation.h"
#include "tensor/quantize.h"

namespace kvant::ops {

// Attributes `activation`, `alpha`, `beta`. Absent alpha and beta take ONNX's defaults for that activation.
struct FusedActivation {
  Activation kind = Activation::None;
  float alpha = 0, beta = 0;
  float operator()(float x) const { return kind == Activation::None ? x : activate(kind, x, alpha, beta); }
};
FusedActivation parse_activation(const ir::Attributes& attributes);

struct Epilogue {
  DType output = DType::UInt8;  // UInt8, Int8 or Float32
  FusedActivation activation;
  int32_t y_zero_point = 0;  // integer output only, as the next two
  IntRange range{0, 0};
  float inverse_scale = 1;  // used when the output is integer and there is an activation
  float residual_multiplier = 1;
  int32_t residual_zero_point = 0;
  bool integer_output() const { return output != DType::Float32; }
};

// Fails on an unknown output type or activation, a clamp outside the type, or a missing inverse_scale.
Epilogue parse_epilogue(const ir::Attributes& attributes);

// v = fma(acc, multiplier, bias)
inline float scaled(int32_t acc, float multiplier, float bias) {
  return std::fma(static_cast<float>(acc), multiplier, bias);
}
// v = fma(r, residual_multiplier, v); r is the residual code minus its zero point, or the f32 residual
// itself.
inline float with_residual(const Epilogue& epilogue, float v, float r) {
  return std::fma(r, epilogue.residual_multiplier, v);
}
// q = clamp(round_even(v) + y_zero_point, low, high), after activation and rescaling where there is one.
inline int32_t code_of(const Epilogue& epilogue, float v) {
  if (epilogue.activation.kind != Activation::None) v = epilogue.activation(v) * epilogue.inverse_scale;
  const int64_t code = static_cast<int64_t>(round_even(v)) + epilogue.y_zero_point;
  return static_cast<int32_t>(std::clamp<int64_t>(code, epilogue.range.low, epilogue.range.high));
}

// The whole tensor [rows, channels] from accumulators (integers held as doubles); `residual` nullptr or of as
// many elements. Fails unless multiplier and bias hold one f32 for each channel.
Tensor apply_epilogue(const Epilogue& epilogue, Shape shape, std::span<const double> acc,
                      const Tensor& multiplier, const Tensor& bias, const Tensor* residual);

// Input 5 of QConv and QGemm, optional: a table that the codes go through at last. The type of the result,
// and that step. Fails, naming `op`, where it is no table of 256 codes or the codes are none.
DType epilogue_type(std::string_view op, const Epilogue& epilogue, const ir::InferArgs& args);
Tensor through_table(std::string_view op, const ir::EvalArgs& args, Tensor codes);

// The end of ConvNhwc and Linear: y + bias (input 2) + residual (input 3), rounded to float, then the
// activation. Fails naming `op` where their shapes do not fit `shape`.
Tensor finish_float(std::string_view op, const ir::EvalArgs& args, const Shape& shape,
                    std::vector<double>& y);

// The clamp and zero point of operators without activation (QAdd, QMul, pools): output, y_zero_point, low,
// high.
struct CodeOutput {
  DType dtype = DType::UInt8;
  int32_t zero_point = 0;
  IntRange range{0, 0};
  int32_t code(float v) const {
    const int64_t q = static_cast<int64_t>(round_even(v)) + zero_point;
    return static_cast<int32_t>(std::clamp<int64_t>(q, range.low, range.high));
  }
};
CodeOutput parse_code_output(const ir::Attributes& attributes);

// Zero point attribute `name`, checked against int32.
int32_t zero_point_attribute(const ir::Attributes& attributes, std::string_view name);
std::vector<ir::AttributeDef> activation_attributes();
std::vector<ir::AttributeDef> epilogue_attributes();
std::vector<ir::AttributeDef> code_output_attributes();

}  // namespace kvant::ops
