// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "ops/real_values.h"
#include "ops/shape_rules.h"
#include "ops/window.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_lrn(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("LRN", DTypes::Floats, x.dtype);
  require_at_least("size", args.attributes().integer("size", 0), 1);
  if (x.shape) require_rank("LRN", *x.shape, 2);
  return {x};
}

std::vector<Tensor> evaluate_lrn(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_rank("LRN", x.shape(), 2);
  const int64_t size = args.attributes().integer("size", 0);
  require_at_least("size", size, 1);
  const double alpha = args.attributes().real("alpha", 1e-4f), beta = args.attributes().real("beta", 0.75f);
  const double bias = args.attributes().real("bias", 1.0f);
  const std::vector<double> values = to_doubles(x);
  std::vector<double> y(values.size());
  if (y.empty()) return {x};
  const int64_t channels = x.dim(1), plane = x.size() / (x.dim(0) * channels);
  for (int64_t i = 0; i < x.size(); ++i) {
    const int64_t c = i / plane % channels;
    // The longer half of an even window lies after the channel.
    const int64_t first = std::max<int64_t>(c - (size - 1) / 2, 0),
                  last = std::min(c + size / 2, channels - 1);
    double squares = 0;
    for (int64_t k = first; k <= last; ++k) {
      const double value = values[static_cast<size_t>(i + (k - c) * plane)];
      squares += value * value;
    }
    const double divisor = std::pow(bias + alpha / static_cast<double>(size) * squares, beta);
    y[static_cast<size_t>(i)] = values[static_cast<size_t>(i)] / divisor;
  }
  return {from_doubles(x.dtype(), x.shape(), y)};
}

}  // namespace

ir::OpDef lrn() {
  using ir::AttributeKind;
  return {.name = "LRN",
          .attributes = {{"alpha", AttributeKind::Real},
                         {"beta", AttributeKind::Real},
                         {"bias", AttributeKind::Real},
                         {"size", AttributeKind::Integer, true}},
          .infer = infer_lrn,
          .evaluate = evaluate_lrn};
}

}  // namespace kvant::ops
