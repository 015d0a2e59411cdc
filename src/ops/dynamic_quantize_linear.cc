// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ir/op_def.h"
#include "tensor/quantize.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_dynamic_quantize_linear(const ir::InferArgs& args) {
  if (args.inputs[0].dtype != DType::Float32)
    fail("DynamicQuantizeLinear: the input holds {}; f32 is needed", name(args.inputs[0].dtype));
  return {{DType::UInt8, args.inputs[0].shape}, {DType::Float32, Shape{}}, {DType::UInt8, Shape{}}};
}

std::vector<Tensor> evaluate_dynamic_quantize_linear(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  if (x.dtype() != DType::Float32)
    fail("DynamicQuantizeLinear: the input holds {}; f32 is needed", name(x.dtype()));
  float low = 0, high = 0;  // the range always holds 0
  for (const float value : x.data<float>()) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  const float scale = high == low ? 1.0f : (high - low) / 255.0f;
  const int32_t zero_point = std::clamp(round_even(-low / scale), 0, 255);
  const QuantParams params{.dtype = DType::UInt8, .scale = {scale}, .zero_point = {zero_point}};
  return {quantize(x, params), Tensor::scalar(scale), Tensor::scalar(static_cast<uint8_t>(zero_point))};
}

}  // namespace

ir::OpDef dynamic_quantize_linear() {
  return {.name = "DynamicQuantizeLinear",
          .max_outputs = 3,
          .infer = infer_dynamic_quantize_linear,
          .evaluate = evaluate_dynamic_quantize_linear};
}

}  // namespace kvant::ops
