// SPDX-License-Identifier: Apache-2.0
// QSoftmax and QLayerNormalization: the ONNX operator, and QuantizeLinear of its result, in one.
#pragma once

#include "ir/op_def.h"

namespace kvant::ops {

// Attributes of a result in codes behind a float operator: y_scale beside those of code_output_attributes().
std::vector<ir::AttributeDef> quantized_result_attributes();
// The type of x with the element type of the codes.
ir::Type quantized_result_type(const ir::InferArgs& args);
// clamp(round_even(x / y_scale) + y_zero_point, low, high)
Tensor quantized_result(const ir::EvalArgs& args, const Tensor& x);

}  // namespace kvant::ops
