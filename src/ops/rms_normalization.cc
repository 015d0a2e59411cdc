// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/layer_lines.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_rms_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("RMSNormalization", DTypes::Floats, x.dtype);
  if (x.shape) line_statistics_shape(args.node, *x.shape);
  return {{args.inputs[1].dtype, x.shape}};
}

std::vector<Tensor> evaluate_rms_normalization(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const int64_t length = line_length(args.node, x.shape());
  const double epsilon = args.attributes().real("epsilon", 1e-5f);
  std::vector<double> y = to_doubles(x);
  const auto scale = broadcast_values(args.node, "scale", args.in(1), x.shape());
  for (int64_t begin = 0; begin < x.size(); begin += length) {
    const std::span<double> line(y.data() + begin, static_cast<size_t>(length));
    double squares = 0;
    for (const double value : line) squares += value * value;
    const double factor = 1.0 / std::sqrt(squares / static_cast<double>(length) + epsilon);
    for (size_t i = 0; i < line.size(); ++i) line[i] *= factor * scale[static_cast<size_t>(begin) + i];
  }
  return {from_doubles(args.in(1).dtype(), x.shape(), y)};
}

}  // namespace

ir::OpDef rms_normalization() {
  using ir::AttributeKind;
  return {.name = "RMSNormalization",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"axis", AttributeKind::Integer},
                         {"epsilon", AttributeKind::Real},
                         {"stash_type", AttributeKind::Integer}},
          .infer = infer_rms_normalization,
          .evaluate = evaluate_rms_normalization};
}

}  // namespace kvant::ops
