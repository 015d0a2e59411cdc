// SPDX-License-Identifier: Apache-2.0
#include "ops/layer_lines.h"
#include "ops/moments.h"
#include "ops/onnx_dtype.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_layer_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("LayerNormalization", DTypes::Floats, x.dtype);
  Type statistics{dtype_attribute(args.node, "stash_type", DType::Float32), std::nullopt};
  if (x.shape) statistics.shape = line_statistics_shape(args.node, *x.shape);
  if (x.shape) broadcast_partial("LayerNormalization", args.inputs[1].shape, x.shape);
  return {x, statistics, statistics};
}

std::vector<Tensor> evaluate_layer_normalization(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const int64_t length = line_length(args.node, x.shape());
  const double epsilon = args.attributes().real("epsilon", 1e-5f);
  std::vector<double> y = to_doubles(x), means, deviations;
  for (int64_t begin = 0; begin < x.size(); begin += length) {
    const std::span<double> line(y.data() + begin, static_cast<size_t>(length));
    const Moments moments = moments_of(line);
    means.push_back(moments.mean);
    deviations.push_back(1.0 / std::sqrt(moments.variance + epsilon));
    normalize(line, moments, epsilon);
  }
  const auto scale = broadcast_values(args.node, "scale", args.in(1), x.shape());
  for (size_t i = 0; i < y.size(); ++i) y[i] *= scale[i];
  if (args.has(2)) {
    const auto bias = broadcast_values(args.node, "bias", args.in(2), x.shape());
    for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i];
  }
  const DType stash = dtype_attribute(args.node, "stash_type", DType::Float32);
  const Shape statistics = line_statistics_shape(args.node, x.shape());
  means.resize(static_cast<size_t>(element_count(statistics)));
  deviations.resize(means.size());
  return {from_doubles(x.dtype(), x.shape(), y), from_doubles(stash, statistics, means),
          from_doubles(stash, statistics, deviations)};
}

}  // namespace

ir::OpDef layer_normalization() {
  using ir::AttributeKind;
  return {.name = "LayerNormalization",
          .min_inputs = 2,
          .max_inputs = 3,
          .max_outputs = 3,
          .attributes = {{"axis", AttributeKind::Integer},
                         {"epsilon", AttributeKind::Real},
                         {"stash_type", AttributeKind::Integer}},
          .infer = infer_layer_normalization,
          .evaluate = evaluate_layer_normalization};
}

}  // namespace kvant::ops
