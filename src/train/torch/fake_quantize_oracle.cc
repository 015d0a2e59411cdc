// SPDX-License-Identifier: Apache-2.0
// The fused fake-quantize function against ATen's learnable ones: forward, gradient of x, gradient of the
// scale. Scales are powers of two, so that our division and ATen's multiplication by the inverse are the same
// number.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "train/torch/fake_quantize_op.h"

namespace kvant::train::plugin {
namespace {

struct Gradients {
  at::Tensor y, x, scale;
};

template <class Fn>
Gradients differentiate(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& g, const Fn& fn) {
  at::Tensor xv = x.detach().clone().set_requires_grad(true);
  at::Tensor sv = scale.detach().clone().set_requires_grad(true);
  const at::Tensor y = fn(xv, sv);
  y.backward(g);
  return {y.detach(), xv.grad(), sv.grad()};
}

void expect_same(const Gradients& ours, const Gradients& aten, double per_scale) {
  EXPECT_TRUE(at::equal(ours.y, aten.y));
  EXPECT_TRUE(at::equal(ours.x, aten.x));
  EXPECT_GT(aten.scale.abs().max().item().toDouble(), 0);
  const at::Tensor difference = (ours.scale - aten.scale).abs().max();
  EXPECT_LT(difference.item().toDouble(), 1e-5 * std::sqrt(per_scale)) << ours.scale << aten.scale;
}

TEST(FakeQuantizeOracle, PerTensorEqualsAten) {
  at::manual_seed(1);
  for (const auto& [low, high] : {std::pair{-128, 127}, {0, 255}, {-7, 7}, {-8, 7}}) {
    for (const auto format : {at::MemoryFormat::Contiguous, at::MemoryFormat::ChannelsLast}) {
      const at::Tensor x = (at::randn({4, 24, 30, 31}) * (high * 0.03)).contiguous(format);
      const at::Tensor g = at::randn({4, 24, 30, 31});
      const at::Tensor scale = at::full({1}, 0.0625);
      const double n = static_cast<double>(x.numel());
      const auto ours = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
        return fake_quantize(xv, sv, {-1, {static_cast<float>(low)}, {static_cast<float>(high)}});
      });
      const auto aten = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
        return at::_fake_quantize_learnable_per_tensor_affine(xv, sv, at::zeros({1}), low, high,
                                                              1 / std::sqrt(n * high));
      });
      expect_same(ours, aten, 1.0);
    }
  }
}

TEST(FakeQuantizeOracle, PerChannelEqualsAtenOnAnyAxis) {
  at::manual_seed(2);
  for (int64_t axis = 0; axis < 4; ++axis) {
    const at::Tensor x = at::randn({6, 5, 3, 4});
    const int64_t channels = x.size(axis);
    const at::Tensor scale = at::pow(2.0, at::arange(channels).to(at::kFloat) - 8);
    const at::Tensor g = at::randn(x.sizes());
    const double n = static_cast<double>(x.numel() / channels);
    const auto ours = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
      return fake_quantize(xv, sv, {axis, {-127}, {127}});
    });
    const auto aten = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
      return at::_fake_quantize_learnable_per_channel_affine(xv, sv, at::zeros({channels}), axis, -127, 127,
                                                             1 / std::sqrt(n * 127));
    });
    expect_same(ours, aten, 1.0);
  }
}

// LSQ's gradient scale (Esser et al. 2020, 2.2): N is the number of features of one sample, or of weights.
TEST(FakeQuantizeOracle, TheScaleGradientIsDividedByTheRootOfFeaturesAndLevels) {
  at::manual_seed(5);
  const at::Tensor x = at::randn({8, 3, 5, 5}), g = at::randn(x.sizes()), scale = at::full({1}, 0.0625);
  const auto gradient = [&](bool batched) {
    return differentiate(x, scale, g,
                         [&](const at::Tensor& xv, const at::Tensor& sv) {
                           return fake_quantize(xv, sv, {-1, {-7}, {7}, batched});
                         })
        .scale.item()
        .toDouble();
  };
  const double whole = differentiate(x, scale, g,
                                     [&](const at::Tensor& xv, const at::Tensor& sv) {
                                       return at::_fake_quantize_learnable_per_tensor_affine(
                                           xv, sv, at::zeros({1}), -7, 7, 1.0);
                                     })
                           .scale.item()
                           .toDouble();
  EXPECT_NEAR(gradient(true), whole / std::sqrt(75.0 * 7), 1e-4 * std::abs(whole));
  EXPECT_NEAR(gradient(false), whole / std::sqrt(600.0 * 7), 1e-4 * std::abs(whole));
}

TEST(FakeQuantizeOracle, TrackedScalesCoverTheBatch) {
  at::manual_seed(6);
  at::Tensor x = at::randn({4, 6, 30, 31}).contiguous(at::MemoryFormat::ChannelsLast);
  const float least = x.min().item().toFloat(), most = x.max().item().toFloat();
  at::Tensor scale = at::full({1}, 0.5);
  track_range(x, scale, {-1, {-100}, {155}}, 0.0);
  EXPECT_EQ(scale.item().toFloat(), std::max(most / 155, least / -100));
  at::Tensor average = at::full({1}, 0.5);
  track_range(x, average, {-1, {-100}, {155}}, 0.75);
  EXPECT_FLOAT_EQ(average.item().toFloat(), 0.75f * 0.5f + 0.25f * scale.item().toFloat());
  // By channel, on an axis that is not the outermost; a channel of zeros keeps its scale.
  x.select(1, 2).zero_();
  at::Tensor scales = at::full({6}, 0.5);
  track_range(x, scales, {1, {-128}, {127}}, 0.0);
  for (int64_t c = 0; c < 6; ++c) {
    const float wanted = c == 2 ? 0.5f : x.select(1, c).abs().max().item().toFloat() / 127;
    EXPECT_EQ(scales[c].item().toFloat(), wanted) << c;
  }
}

TEST(FakeQuantizeOracle, TransposedInputsKeepTheirChannels) {
  at::manual_seed(3);
  const at::Tensor x = at::randn({7, 9});
  const at::Tensor scale = at::pow(2.0, at::arange(9).to(at::kFloat) - 6);
  const CodeRanges range{0, {-127}, {127}};
  EXPECT_TRUE(at::equal(fake_quantize(x.t(), scale, range), fake_quantize(x.t().contiguous(), scale, range)));
}

TEST(FakeQuantizeOracle, SumsDoNotDependOnTheThreadCount) {
  at::manual_seed(4);
  const at::Tensor x = at::randn({16, 16, 40, 40}), g = at::randn(x.sizes()), scale = at::full({1}, 0.013);
  const auto run = [&](int threads) {
    at::set_num_threads(threads);
    return differentiate(x, scale, g, [](const at::Tensor& xv, const at::Tensor& sv) {
      return fake_quantize(xv, sv, {-1, {-128}, {127}});
    });
  };
  EXPECT_TRUE(at::equal(run(1).scale, run(2).scale));
}

}  // namespace
}  // namespace kvant::train::plugin
