// SPDX-License-Identifier: Apache-2.0
// QConv and QGemm with oneDNN's INT8 convolution for the exact int32 sums and our epilogue over them: a
// tactic that only a clock chooses, since it goes through memory with four bytes for each result.
#pragma once

#include "backends/cpu/binding.h"
#include "backends/cpu/kernels/qconv/qconv.h"

namespace kvant::backends::cpu {

inline constexpr std::string_view kOneDnnQConv = "qconv_onednn_s32_avx512vnni";

// Why it cannot run, or not with the bits that are asked for; "" when it can.
std::string onednn_qconv_why_not(const QConvDesc& desc, const QConvWeights& weights);
// Weights in ONNX's order, then what sums start with, multipliers and biases.
Tensor onednn_qconv_pack(const QConvDesc& desc, const QConvWeights& weights);
// `packed` as onednn_qconv_pack() made it; fails on one of another size.
std::unique_ptr<engine::Step> onednn_qconv_load(const engine::NodeView& view, const QConvDesc& desc,
                                                Tensor packed, size_t residual_input);

}  // namespace kvant::backends::cpu
