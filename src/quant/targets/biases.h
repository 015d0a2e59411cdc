// SPDX-License-Identifier: Apache-2.0
// The two ways to write the bias of a quantized layer: float, or int32 codes on the accumulator's scale.
#pragma once

#include "quant/targets/target.h"

namespace kvant::quant {

// The constant float bias of every quantized Conv, ConvTranspose and (alpha = beta = 1) Gemm becomes an int32
// constant behind a DequantizeLinear, with s_b[k] = s_x * s_w[k] rounded once to float32 and zero point 0
// (what onnxruntime wants of QLinearConv's bias). The value moves by at most half of s_b. A bias whose code
// does not fit int32, or whose scale is below the normal floats, stays float; the report says so.
void write_integer_biases(ir::Graph& graph, TargetReport& report);

// Int32 constants behind a DequantizeLinear become the float constants that they stand for: exact.
void write_float_biases(ir::Graph& graph, TargetReport& report);

}  // namespace kvant::quant
