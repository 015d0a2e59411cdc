// SPDX-License-Identifier: Apache-2.0
// Float convolution and product with constant weights: ConvNhwc and Linear.
#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/real/real.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kRealWeight = 1, kRealBias = 2, kRealResidual = 3;

ConvShape real_window(const engine::NodeView& view, const Operands& operands) {
  const Shape &x = operands.shape(0), &y = output_shape(view),
              &w = operands.required(kRealWeight, "the weight").shape();
  require(view, x.size() == 4 && w.size() == 4 && y.size() == 4, "x, w and y have rank 4");
  for (const Shape* shape : {&x, &y, &w}) {
    for (const int64_t dim : *shape)
      require(view, dim >= 1 && dim <= INT32_MAX, "a dimension is zero or absurd");
  }
  ConvShape s;
  s.group = view.node.attributes.integer("group", 1);
  s.n = x[0], s.h = x[1], s.w = x[2], s.c = x[3], s.k = w[0], s.kh = w[2], s.kw = w[3];
  require(view, s.group >= 1 && s.c % s.group == 0 && s.k % s.group == 0 && w[1] == s.c / s.group,
          fmt::format("{} groups do not divide {} channels into {} outputs of {}", s.group, s.c, s.k, w[1]));
  const auto strides = numbers(view, "strides", 2, 1, {1, 1});
  const auto dilations = numbers(view, "dilations", 2, 1, {1, 1});
  const auto pads = numbers(view, "pads", 4, 0, {0, 0, 0, 0});
  s.stride_h = strides[0], s.stride_w = strides[1];
  s.dilation_h = dilations[0], s.dilation_w = dilations[1];
  s.top = pads[0], s.left = pads[1];
  s.ho = (s.h + pads[0] + pads[2] - s.dilation_h * (s.kh - 1) - 1) / s.stride_h + 1;
  s.wo = (s.w + pads[1] + pads[3] - s.dilation_w * (s.kw - 1) - 1) / s.stride_w + 1;
  require(view, y == Shape{s.n, s.ho, s.wo, s.k}, "the result has not the convolution's shape");
  return s;
}

ConvShape real_rows(const engine::NodeView& view, const Operands& operands) {
  const Shape &x = operands.shape(0), &w = operands.required(kRealWeight, "the weight").shape();
  require(view, !x.empty() && w.size() == 2 && w[0] >= 1 && w[1] >= 1 && x.back() == w[1],
          "x and w do not fit");
  Shape expected = x;
  expected.back() = w[0];
  require(view, output_shape(view) == expected, "the result has not the product's shape");
  ConvShape s;
  s.c = w[1], s.k = w[0];
  s.w = s.wo = element_count(x) / s.c;
  return s;
}

RealConvDesc describe_real(const engine::NodeView& view, const Operands& operands) {
  for (const size_t i : {size_t{0}, kRealWeight, kRealBias, kRealResidual}) {
    require(view, !operands.has(i) || operands.dtype(i) == DType::Float32,
            fmt::format("input {} is not f32", i));
  }
  require(view, view.outputs.size() == 1 && view.outputs[0].dtype == DType::Float32, "the result is not f32");
  RealConvDesc d;
  d.shape = view.node.op == "Linear" ? real_rows(view, operands) : real_window(view, operands);
  require(view, !operands.has(kRealBias) || element_count(operands.shape(kRealBias)) == d.shape.k,
          "the bias has not one value per output");
  require(view, !operands.has(kRealResidual) || operands.shape(kRealResidual) == output_shape(view),
          "residual and result differ in shape");
  d.activation = activation_of(view);
  d.alpha = view.node.attributes.real("alpha", 0.0f);
  d.beta = view.node.attributes.real("beta", 0.0f);
  return d;
}

std::vector<std::string> real_tactics(const engine::NodeView& view, int, std::string&) {
  describe_real(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> real_load(const engine::NodeView& view, std::string_view tactic,
                                        std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const RealConvDesc d = describe_real(view, operands);
  return launch_step(operands.take(), [d](const Places& p, const auto& launch) {
    launch(real_conv_launch(d, p.in(0), p.in(kRealWeight), p.in(kRealBias), p.in(kRealResidual), p.out()));
  });
}

}  // namespace

Binding bind_conv_nhwc() { return {"ConvNhwc", real_tactics, pack_constants, real_load}; }
Binding bind_linear() { return {"Linear", real_tactics, pack_constants, real_load}; }

}  // namespace kvant::backends::cuda
