// SPDX-License-Identifier: Apache-2.0
#include "ops/panel_product.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

struct Sizes {
  int64_t rows, columns, depth;
};

// Dimensions may be unknown.
Sizes sizes_of(const ir::Attributes& attributes, const Shape& a, const Shape& b) {
  if (a.size() != 2 || b.size() != 2)
    fail("Gemm: A is {} and B is {}; both must be matrices", to_string(a), to_string(b));
  const bool turn_a = attributes.integer("transA", 0) != 0, turn_b = attributes.integer("transB", 0) != 0;
  const int64_t depth_a = a[turn_a ? 0 : 1], depth_b = b[turn_b ? 1 : 0];
  if (depth_a != kUnknownDim && depth_b != kUnknownDim && depth_a != depth_b)
    fail("Gemm: A is {} and B is {} (transA {}, transB {}): the inner sizes {} and {} differ", to_string(a),
         to_string(b), turn_a, turn_b, depth_a, depth_b);
  return {a[turn_a ? 1 : 0], b[turn_b ? 0 : 1], depth_a};
}

void check_addend(const std::optional<Shape>& c, const Sizes& sizes) {
  if (!c) return;
  const Shape wanted{sizes.rows, sizes.columns};
  const auto sum = broadcast_partial("Gemm", c, wanted);
  for (size_t d = 0; d < 2; ++d)
    if (sum->size() != 2 || (wanted[d] != kUnknownDim && (*sum)[d] != wanted[d]))
      fail("Gemm: C is {}; it does not broadcast to {}", to_string(*c), to_string(wanted));
}

std::vector<Type> infer_gemm(const ir::InferArgs& args) {
  const Type &a = args.inputs[0], &b = args.inputs[1];
  require_dtype("Gemm", DTypes::Numbers, a.dtype);
  require_same_dtype("Gemm", a.dtype, b.dtype);
  if (args.has(2)) require_same_dtype("Gemm", a.dtype, args.inputs[2].dtype);
  if (!a.shape && !b.shape) return {{a.dtype, Shape{kUnknownDim, kUnknownDim}}};
  const Shape any{kUnknownDim, kUnknownDim};
  const Sizes sizes = sizes_of(args.attributes(), a.shape.value_or(any), b.shape.value_or(any));
  if (args.has(2)) check_addend(args.inputs[2].shape, sizes);
  return {{a.dtype, Shape{sizes.rows, sizes.columns}}};
}

void add_scaled(std::vector<double>& y, const Shape& shape, const Tensor& c, double beta) {
  const std::vector<double> values = to_doubles(c);
  const int64_t columns = shape[1];
  const int64_t c_columns = c.rank() == 0 ? 1 : c.shape().back();
  const int64_t c_rows = c.rank() < 2 ? 1 : c.dim(0);
  for (int64_t i = 0; i < shape[0]; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      const int64_t from = (c_rows == 1 ? 0 : i * c_columns) + (c_columns == 1 ? 0 : j);
      y[static_cast<size_t>(i * columns + j)] += beta * values[static_cast<size_t>(from)];
    }
}

std::vector<Tensor> evaluate_gemm(const ir::EvalArgs& args) {
  const Tensor &a = args.in(0), &b = args.in(1);
  require_same_dtype("Gemm", a.dtype(), b.dtype());
  const ir::Attributes& attributes = args.attributes();
  const Sizes sizes = sizes_of(attributes, a.shape(), b.shape());
  const Shape shape = checked_result("Gemm", {sizes.rows, sizes.columns});
  if (args.has(2)) check_addend(args.in(2).shape(), sizes);
  const std::vector<double> left = to_doubles(a), right = to_doubles(b);
  MatrixView a_view{left.data(), a.dim(1), 1}, b_view{right.data(), b.dim(1), 1};
  if (attributes.integer("transA", 0) != 0) std::swap(a_view.row_stride, a_view.column_stride);
  if (attributes.integer("transB", 0) != 0) std::swap(b_view.row_stride, b_view.column_stride);
  std::vector<double> y = multiply(a_view, b_view, sizes.rows, sizes.columns, sizes.depth);
  const double alpha = attributes.real("alpha", 1.0f);
  if (alpha != 1.0)
    for (double& value : y) value *= alpha;
  if (args.has(2)) add_scaled(y, shape, args.in(2), attributes.real("beta", 1.0f));
  if (is_float(a.dtype())) return {from_doubles(a.dtype(), shape, y)};
  return {from_doubles(DType::Float64, shape, y).cast(a.dtype())};
}

}  // namespace

ir::OpDef gemm() {
  using ir::AttributeKind;
  return {.name = "Gemm",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = {{"alpha", AttributeKind::Real},
                         {"beta", AttributeKind::Real},
                         {"transA", AttributeKind::Integer},
                         {"transB", AttributeKind::Integer}},
          .traits = ir::Trait::Weighted,
          .infer = infer_gemm,
          .evaluate = evaluate_gemm};
}

}  // namespace kvant::ops
