// SPDX-License-Identifier: Apache-2.0
#include "ops/batched_product.h"

#include <algorithm>

#include "ops/panel_product.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Shapes with at least two dimensions; a 1-D left operand is a row, a 1-D right one a column.
Shape as_left(const Shape& shape) { return shape.size() == 1 ? Shape{1, shape[0]} : shape; }
Shape as_right(const Shape& shape) { return shape.size() == 1 ? Shape{shape[0], 1} : shape; }
Shape batch_of(const Shape& shape) { return Shape(shape.begin(), shape.end() - 2); }

// For every index of the broadcast batch, the operand's index among its own matrices.
std::vector<int64_t> batch_indices(const Shape& batch, const Shape& own) {
  const std::vector<int64_t> steps = strides_of(own);
  std::vector<int64_t> result(static_cast<size_t>(element_count(batch)));
  for (size_t i = 0; i < result.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), offset = 0;
    for (size_t d = batch.size(); d-- > 0;) {
      const int64_t at = rest % batch[d];
      rest /= batch[d];
      const size_t missing = batch.size() - own.size();
      if (d >= missing && own[d - missing] != 1) offset += at * steps[d - missing];
    }
    result[i] = offset;
  }
  return result;
}

}  // namespace

std::optional<Shape> matmul_shape(std::string_view op, const std::optional<Shape>& a,
                                  const std::optional<Shape>& b) {
  if ((a && a->empty()) || (b && b->empty()))
    fail("{}: an operand is a scalar; vectors or matrices are needed", op);
  if (!a || !b) return std::nullopt;
  const Shape left = as_left(*a), right = as_right(*b);
  const int64_t inner_a = left.back(), inner_b = right[right.size() - 2];
  if (inner_a != kUnknownDim && inner_b != kUnknownDim && inner_a != inner_b)
    fail("{}: shapes {} and {} do not fit: {} columns against {} rows", op, to_string(*a), to_string(*b),
         inner_a, inner_b);
  Shape result = *broadcast_partial(op, batch_of(left), batch_of(right));
  if (a->size() > 1) result.push_back(left[left.size() - 2]);
  if (b->size() > 1) result.push_back(right.back());
  return result;
}

MatmulResult matmul(std::string_view op, const Shape& a_shape, std::span<const double> a,
                    const Shape& b_shape, std::span<const double> b) {
  MatmulResult result{checked_result(op, *matmul_shape(op, a_shape, b_shape)), {}};
  const Shape left = as_left(a_shape), right = as_right(b_shape);
  const Shape batch = *broadcast_partial(op, batch_of(left), batch_of(right));
  const int64_t depth = left.back(), columns = right.back(), rows = left[left.size() - 2];
  if (right.size() == 2) {  // one right matrix for all: one product of all rows
    const int64_t all = element_count(batch) * rows;
    result.values = multiply({a.data(), depth, 1}, {b.data(), columns, 1}, all, columns, depth);
    return result;
  }
  const auto a_index = batch_indices(batch, batch_of(left)), b_index = batch_indices(batch, batch_of(right));
  result.values.reserve(static_cast<size_t>(element_count(result.shape)));
  for (size_t i = 0; i < a_index.size(); ++i) {
    const auto product =
        multiply({a.data() + a_index[i] * rows * depth, depth, 1},
                 {b.data() + b_index[i] * depth * columns, columns, 1}, rows, columns, depth);
    result.values.insert(result.values.end(), product.begin(), product.end());
  }
  return result;
}

}  // namespace kvant::ops
