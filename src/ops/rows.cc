// SPDX-License-Identifier: Apache-2.0
#include "ops/rows.h"

#include "ops/panel_product.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

std::optional<Shape> rows_shape(std::string_view op, const std::optional<Shape>& x,
                                const std::optional<Shape>& w) {
  if (w && w->size() != 2) fail("{}: w is {}; [N,K] is needed", op, to_string(*w));
  if (x && x->empty()) fail("{}: x is a scalar; [...,K] is needed", op);
  if (!x) return std::nullopt;
  const int64_t depth = x->back(), weight_depth = w ? (*w)[1] : kUnknownDim;
  if (depth != kUnknownDim && weight_depth != kUnknownDim && depth != weight_depth)
    fail("{}: x is {} and w {}; their last dimensions differ", op, to_string(*x), to_string(*w));
  Shape result = *x;
  result.back() = w ? (*w)[0] : kUnknownDim;
  return result;
}

std::vector<double> multiply_rows_by_weight(std::string_view op, const Shape& x_shape,
                                            std::span<const double> x, const Shape& w_shape,
                                            std::span<const double> w) {
  checked_result(op, *rows_shape(op, x_shape, w_shape));
  const int64_t depth = w_shape[1], columns = w_shape[0];
  const int64_t rows = element_count(Shape(x_shape.begin(), x_shape.end() - 1));
  return multiply({x.data(), depth, 1}, {w.data(), 1, depth}, rows, columns, depth);
}

}  // namespace kvant::ops
