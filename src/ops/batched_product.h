// SPDX-License-Identifier: Apache-2.0
// numpy.matmul: batched matrix products with broadcast leading dimensions and 1-D operands, as MatMul,
// MatMulInteger and QLinearMatMul take them.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::ops {

// The result's shape; dimensions may be unknown. Fails naming `op` where the shapes do not fit.
std::optional<Shape> matmul_shape(std::string_view op, const std::optional<Shape>& a,
                                  const std::optional<Shape>& b);

struct MatmulResult {
  Shape shape;
  std::vector<double> values;
};
MatmulResult matmul(std::string_view op, const Shape& a_shape, std::span<const double> a,
                    const Shape& b_shape, std::span<const double> b);

}  // namespace kvant::ops
