// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/convolution.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

constexpr std::string_view kNames[] = {"x", "scale", "bias", "mean", "variance"};

int64_t channels_of(const Shape& x) {
  require_rank("BatchNormalization", x, 1);
  return x.size() == 1 ? 1 : x[1];
}

std::vector<Type> infer_batch_normalization(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  require_dtype("BatchNormalization", DTypes::Floats, x.dtype);
  const int64_t channels = x.shape ? channels_of(*x.shape) : kUnknownDim;
  for (size_t i = 1; i < 5; ++i)
    require_per_channel(fmt::format("BatchNormalization: {}", kNames[i]), args.inputs[i].shape, channels);
  const Type statistics{args.inputs[3].dtype, Shape{channels}};
  return {x, statistics, statistics};
}

// Elements as [outer, channels, inner].
struct Layout {
  int64_t outer, channels, inner;
};

Layout layout_of(const Shape& x) {
  Layout layout{x.empty() ? 1 : x[0], channels_of(x), 1};
  for (size_t d = 2; d < x.size(); ++d) layout.inner *= x[d];
  return layout;
}

// Statistics of the batch for each channel.
void batch_statistics(const std::vector<double>& x, const Layout& layout, std::vector<double>& mean,
                      std::vector<double>& variance) {
  const double count = static_cast<double>(layout.outer * layout.inner);
  const auto sum = [&](int64_t c, auto term) {
    double total = 0;
    for (int64_t o = 0; o < layout.outer; ++o)
      for (int64_t i = 0; i < layout.inner; ++i)
        total += term(x[static_cast<size_t>((o * layout.channels + c) * layout.inner + i)]);
    return total / count;
  };
  for (int64_t c = 0; c < layout.channels; ++c) {
    const double m = sum(c, [](double v) { return v; });
    mean[static_cast<size_t>(c)] = m;
    variance[static_cast<size_t>(c)] = sum(c, [m](double v) { return (v - m) * (v - m); });
  }
}

// old * momentum + batch * (1 - momentum)
Tensor running(const Tensor& old, const std::vector<double>& batch, double momentum) {
  std::vector<double> values = to_doubles(old);
  for (size_t c = 0; c < values.size(); ++c) values[c] = values[c] * momentum + batch[c] * (1.0 - momentum);
  return from_doubles(old.dtype(), old.shape(), values);
}

std::vector<Tensor> evaluate_batch_normalization(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const Layout layout = layout_of(x.shape());
  for (size_t i = 1; i < 5; ++i)
    require_per_channel(fmt::format("BatchNormalization: {}", kNames[i]), args.in(i).shape(),
                        layout.channels);
  const double epsilon = args.attributes().real("epsilon", 1e-5f);
  const double momentum = args.attributes().real("momentum", 0.9f);
  const std::vector<double> scale = to_doubles(args.in(1)), bias = to_doubles(args.in(2));
  std::vector<double> y = to_doubles(x), mean = to_doubles(args.in(3)), variance = to_doubles(args.in(4));
  if (args.attributes().integer("training_mode", 0) != 0) batch_statistics(y, layout, mean, variance);
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t c = i / static_cast<size_t>(layout.inner) % static_cast<size_t>(layout.channels);
    y[i] = (y[i] - mean[c]) / std::sqrt(variance[c] + epsilon) * scale[c] + bias[c];
  }
  std::vector<Tensor> results{from_doubles(x.dtype(), x.shape(), y)};
  if (args.node.outputs.size() > 1) {
    results.push_back(running(args.in(3), mean, momentum));
    results.push_back(running(args.in(4), variance, momentum));
  }
  return results;
}

}  // namespace

ir::OpDef batch_normalization() {
  using ir::AttributeKind;
  return {.name = "BatchNormalization",
          .min_inputs = 5,
          .max_inputs = 5,
          .max_outputs = 3,
          .attributes = {{"epsilon", AttributeKind::Real},
                         {"momentum", AttributeKind::Real},
                         {"training_mode", AttributeKind::Integer}},
          .infer = infer_batch_normalization,
          .evaluate = evaluate_batch_normalization};
}

}  // namespace kvant::ops
