// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"
#include "ops/moments.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_instance_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("InstanceNormalization", DTypes::Floats, x.dtype);
  if (x.shape) {
    require_rank("InstanceNormalization", *x.shape, 3);
    require_per_channel("InstanceNormalization: scale", args.inputs[1].shape, (*x.shape)[1]);
    require_per_channel("InstanceNormalization: bias", args.inputs[2].shape, (*x.shape)[1]);
  }
  return {x};
}

std::vector<Tensor> evaluate_instance_normalization(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_rank("InstanceNormalization", x.shape(), 3);
  const int64_t channels = x.dim(1);
  require_per_channel("InstanceNormalization: scale", args.in(1).shape(), channels);
  require_per_channel("InstanceNormalization: bias", args.in(2).shape(), channels);
  const double epsilon = args.attributes().real("epsilon", 1e-5f);
  const std::vector<double> scale = to_doubles(args.in(1)), bias = to_doubles(args.in(2));
  std::vector<double> y = to_doubles(x);
  if (y.empty()) return {x};
  const int64_t planes = x.dim(0) * channels, plane = x.size() / planes;
  for (int64_t p = 0; p < planes; ++p) {
    const std::span<double> values(y.data() + p * plane, static_cast<size_t>(plane));
    normalize(values, moments_of(values), epsilon);
    const auto c = static_cast<size_t>(p % channels);
    for (double& value : values) value = value * scale[c] + bias[c];
  }
  return {from_doubles(x.dtype(), x.shape(), y)};
}

}  // namespace

ir::OpDef instance_normalization() {
  return {.name = "InstanceNormalization",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = {{"epsilon", ir::AttributeKind::Real}},
          .infer = infer_instance_normalization,
          .evaluate = evaluate_instance_normalization};
}

}  // namespace kvant::ops
