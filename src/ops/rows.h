// SPDX-License-Identifier: Apache-2.0
// x[..., K] times the transpose of w[N, K], as QGemm and Linear compute it.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::ops {

// [..., N]; dimensions may be unknown. Fails naming `op` where the shapes do not fit.
std::optional<Shape> rows_shape(std::string_view op, const std::optional<Shape>& x,
                                const std::optional<Shape>& w);
std::vector<double> multiply_rows_by_weight(std::string_view op, const Shape& x_shape,
                                            std::span<const double> x, const Shape& w_shape,
                                            std::span<const double> w);

}  // namespace kvant::ops
