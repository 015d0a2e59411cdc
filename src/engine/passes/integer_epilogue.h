// SPDX-License-Identifier: Apache-2.0
// The epilogue of QConv and QGemm (docs/lowered-ops.md) from what was matched in the graph.
#pragma once

#include <vector>

#include "engine/passes/epilogue.h"

namespace kvant::engine {

struct IntegerEpilogue {
  std::vector<float> multiplier, bias;
  ir::ValueId residual = ir::kNone;  // codes, or float; in the layout of the graph
  ir::Attributes attributes;
};

// x_scale and w_scale (one, or one a channel) of the accumulator, bias in real numbers (empty: none). Folded
// in double and rounded once.
IntegerEpilogue integer_epilogue(const ir::Graph& graph, const Epilogue& epilogue, double x_scale,
                                 const std::vector<float>& w_scale, const std::vector<double>& bias);

// The codes that `clamps` allow before Q with `params`: exact, because Q is monotone.
IntRange clamped_range(const QuantParams& params, const std::vector<Bounds>& clamps);
// Sets output, y_zero_point, low and high.
void set_code_output(ir::Attributes& attributes, const QuantParams& params, const IntRange& range);

// An i8 constant with zero point 0 behind a DQ: weights that integer kernels take.
struct QuantizedWeight {
  const Tensor* codes;
  QuantParams params;
};
// Nothing, and the reason in `why`, when the value is no such weight; `axis` is where its output channels
// are.
std::optional<QuantizedWeight> quantized_weight(const ir::Graph& graph, ir::ValueId id, size_t axis,
                                                std::string& why);

}  // namespace kvant::engine
