// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"
#include "ops/moments.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

int64_t groups_of(const ir::Attributes& attributes, int64_t channels) {
  const int64_t groups = attributes.integer("num_groups", 1);
  if (groups < 1 || (channels != kUnknownDim && channels % groups != 0))
    fail("GroupNormalization: {} channels cannot be split into {} groups", channels, groups);
  return groups;
}

std::vector<Type> infer_group_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("GroupNormalization", DTypes::Floats, x.dtype);
  if (x.shape) {
    require_rank("GroupNormalization", *x.shape, 2);
    groups_of(args.attributes(), (*x.shape)[1]);
    require_per_channel("GroupNormalization: scale", args.inputs[1].shape, (*x.shape)[1]);
    require_per_channel("GroupNormalization: bias", args.inputs[2].shape, (*x.shape)[1]);
  }
  return {x};
}

std::vector<Tensor> evaluate_group_normalization(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  require_rank("GroupNormalization", x.shape(), 2);
  const int64_t channels = x.dim(1), groups = groups_of(args.attributes(), channels);
  require_per_channel("GroupNormalization: scale", args.in(1).shape(), channels);
  require_per_channel("GroupNormalization: bias", args.in(2).shape(), channels);
  const double epsilon = args.attributes().real("epsilon", 1e-5f);
  const std::vector<double> scale = to_doubles(args.in(1)), bias = to_doubles(args.in(2));
  std::vector<double> y = to_doubles(x);
  if (y.empty()) return {x};
  const size_t block = y.size() / static_cast<size_t>(x.dim(0) * groups);
  for (size_t begin = 0; begin < y.size(); begin += block) {
    const std::span<double> values(y.data() + begin, block);
    normalize(values, moments_of(values), epsilon);
  }
  const size_t plane = y.size() / static_cast<size_t>(x.dim(0) * channels);
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i / plane % static_cast<size_t>(channels);
    y[i] = y[i] * scale[c] + bias[c];
  }
  return {from_doubles(x.dtype(), x.shape(), y)};
}

}  // namespace

ir::OpDef group_normalization() {
  using ir::AttributeKind;
  return {.name = "GroupNormalization",
          .min_inputs = 3,
          .max_inputs = 3,
          .attributes = {{"epsilon", AttributeKind::Real},
                         {"num_groups", AttributeKind::Integer, true},
                         {"stash_type", AttributeKind::Integer}},
          .infer = infer_group_normalization,
          .evaluate = evaluate_group_normalization};
}

}  // namespace kvant::ops
