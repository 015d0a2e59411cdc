// SPDX-License-Identifier: Apache-2.0
// Scale and zero point inputs of QuantizeLinear and DequantizeLinear: per tensor, per axis, or in blocks
// along the axis.
#pragma once

#include <optional>
#include <vector>

#include "ir/op_def.h"
#include "tensor/quantize.h"

namespace kvant::ops {

// Fails unless codes of this element type can be quantized to and from (i8 u8 i16 u16 i32).
void require_quantized_type(const ir::Node& node, DType dtype);
// Checks the scale's shape against x's as far as both are known: one value, one for each index of `axis`, or
// (with block_size) one for each block. Fails with both shapes.
void check_scale_shape(const ir::Node& node, const std::optional<Shape>& x,
                       const std::optional<Shape>& scale);

// Parameters in inputs 1 and 2 for tensor x, with codes of type `dtype`; nothing when they are blocked.
std::optional<QuantParams> unblocked_params(const ir::EvalArgs& args, DType dtype);

// Blocked parameters, by element: index of element i's scale.
struct BlockedParams {
  std::vector<float> scale;
  std::vector<int32_t> zero_point;  // as many
  int64_t axis_size, blocks, block_size, inner;
  size_t index(int64_t i) const {
    const int64_t block = i / inner % axis_size / block_size;
    return static_cast<size_t>((i / (inner * axis_size) * blocks + block) * inner + i % inner);
  }
};
BlockedParams blocked_params(const ir::EvalArgs& args);

}  // namespace kvant::ops
