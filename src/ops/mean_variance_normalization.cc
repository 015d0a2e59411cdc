// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<size_t> axes_of(const ir::Attributes& attributes, size_t rank) {
  return checked_axes("MeanVarianceNormalization", attributes.integers("axes", {0, 2, 3}), rank);
}

std::vector<Type> infer_mean_variance_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("MeanVarianceNormalization", DTypes::Floats, x.dtype);
  if (x.shape) axes_of(args.attributes(), x.shape->size());
  return {x};
}

// For each element, which of the kept positions it belongs to.
std::vector<size_t> cells_of(const Shape& shape, const std::vector<size_t>& axes, size_t& count) {
  Shape kept = shape;
  for (const size_t axis : axes) kept[axis] = 1;
  count = static_cast<size_t>(element_count(kept));
  const std::vector<int64_t> steps = strides_of(kept);
  std::vector<size_t> cells(static_cast<size_t>(element_count(shape)));
  for (size_t i = 0; i < cells.size(); ++i) {
    int64_t rest = static_cast<int64_t>(i), cell = 0;
    for (size_t d = shape.size(); d-- > 0;) {
      if (kept[d] != 1) cell += rest % shape[d] * steps[d];
      rest /= shape[d];
    }
    cells[i] = static_cast<size_t>(cell);
  }
  return cells;
}

std::vector<Tensor> evaluate_mean_variance_normalization(const ir::EvalArgs& args) {
  constexpr double kEpsilon = 1e-9;  // added to the standard deviation (ONNX's function body)
  const Tensor& x = args.in(0);
  std::vector<double> y = to_doubles(x);
  if (y.empty()) return {x};
  size_t count = 0;
  const auto cells = cells_of(x.shape(), axes_of(args.attributes(), x.rank()), count);
  const double members = static_cast<double>(y.size()) / static_cast<double>(count);
  std::vector<double> mean(count, 0.0), variance(count, 0.0);
  for (size_t i = 0; i < y.size(); ++i) mean[cells[i]] += y[i];
  for (double& value : mean) value /= members;
  for (size_t i = 0; i < y.size(); ++i) variance[cells[i]] += std::pow(y[i] - mean[cells[i]], 2.0);
  for (size_t i = 0; i < y.size(); ++i)
    y[i] = (y[i] - mean[cells[i]]) / (std::sqrt(variance[cells[i]] / members) + kEpsilon);
  return {from_doubles(x.dtype(), x.shape(), y)};
}

}  // namespace

ir::OpDef mean_variance_normalization() {
  return {.name = "MeanVarianceNormalization",
          .attributes = {{"axes", ir::AttributeKind::Integers}},
          .infer = infer_mean_variance_normalization,
          .evaluate = evaluate_mean_variance_normalization};
}

}  // namespace kvant::ops
