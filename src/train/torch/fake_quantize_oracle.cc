// SPDX-License-Identifier: Apache-2.0
// The fused fake-quantize function against ATen's learnable ones: forward, gradient of x, gradient of the
// scale. Scales are powers of two, so that our division and ATen's multiplication by the inverse are the same
// number.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "train/fake_quantize.h"
#include "train/torch/executor.h"
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

// What runs on a card, here on the CPU.
TEST(FakeQuantizeOracle, ComposedOfAtensOperatorsItIsTheSame) {
  at::manual_seed(7);
  const at::Tensor x = at::randn({6, 5, 9, 8}).contiguous(at::MemoryFormat::ChannelsLast),
                   g = at::randn(x.sizes());
  for (const auto& [axis, channels] : {std::pair<int64_t, int64_t>{-1, 1}, {0, 6}, {1, 5}}) {
    const at::Tensor scale = at::rand({channels}) * 0.02 + 0.004;
    for (const bool batched : {false, true}) {
      const CodeRanges range{axis, {-100}, {127}, batched};
      const auto ours = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
        return fake_quantize(xv, sv, range);
      });
      const auto composed = differentiate(x, scale, g, [&](const at::Tensor& xv, const at::Tensor& sv) {
        return fake_quantize_composed(xv, sv, range);
      });
      expect_same(ours, composed, 1.0);
      at::Tensor first = scale.clone(), second = scale.clone();
      track_range(x, first, range, 0.25);
      track_range_composed(x, second, range, 0.25);
      EXPECT_TRUE(at::equal(first, second));
    }
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

TEST(FakeQuantizeOracle, LargestMagnitudesOfATensorOnACard) {
  at::manual_seed(8);
  const at::Tensor x = at::randn({6, 5, 3, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  for (const int64_t axis : {0, 1, 3}) {
    const at::Tensor found = magnitudes_composed(x, axis, x.size(axis));
    for (int64_t c = 0; c < x.size(axis); ++c) {
      const at::Tensor one = x.select(axis, c).contiguous();
      EXPECT_EQ(found[c].item().toFloat(), max_magnitude(one.data_ptr<float>(), one.numel()));
    }
  }
  EXPECT_EQ(magnitudes_composed(x, -1, 1)[0].item().toFloat(), x.abs().max().item().toFloat());
}

kvant_train_constant constant(int32_t value, int32_t role, int32_t type, const std::vector<int64_t>& shape,
                              const void* data) {
  kvant_train_constant c{};
  c.value = value;
  c.role = role;
  c.tensor = {type, static_cast<int32_t>(shape.size()), shape.data(), data};
  return c;
}

// ATen's device of shapes without data stands for a card: every operator refuses operands that lie elsewhere,
// and nothing can be read on the host by mistake.
TEST(ExecutorOnADevice, ParametersInputsAndWhatIsMadeFromShapesLieThere) {
  const std::vector<int64_t> w_shape{3, 2}, two{2}, x_shape{4, 6};
  const std::vector<float> w(6, 1.0f);
  const std::vector<int64_t> pairs{8, 3}, back{8, 2};
  const kvant_train_constant constants[] = {
      constant(1, KVANT_TRAIN_WEIGHT, KVANT_TRAIN_F32, w_shape, w.data()),
      constant(2, KVANT_TRAIN_FIXED, KVANT_TRAIN_I64, two, pairs.data())};
  const auto node = [](const char* op, const std::vector<int32_t>& in, const std::vector<int32_t>& out) {
    kvant_train_node n{};
    n.op = n.name = op;
    n.inputs = in.data(), n.input_count = static_cast<int32_t>(in.size());
    n.outputs = out.data(), n.output_count = static_cast<int32_t>(out.size());
    return n;
  };
  const std::vector<int32_t> v0{0}, v3{3}, v4{4}, v5{5}, v6{6}, v7{7}, sum{0, 4}, reshape{5, 2},
      product{6, 1};
  const kvant_train_node nodes[] = {node("Shape", v0, v3), node("ConstantOfShape", v3, v4),
                                    node("Add", sum, v5), node("Reshape", reshape, v6),
                                    node("MatMul", product, v7)};
  kvant_train_graph graph{};
  graph.value_count = 8;
  graph.constants = constants, graph.constant_count = 2;
  graph.nodes = nodes, graph.node_count = 5;
  const int32_t input = 0, output = 7;
  graph.inputs = &input, graph.input_count = 1;
  graph.outputs = &output, graph.output_count = 1;
  const std::vector<float> x(24, 2.0f);
  const kvant_train_tensor image{KVANT_TRAIN_F32, 2, x_shape.data(), x.data()};

  Executor on_card(graph, false, at::kMeta);
  EXPECT_TRUE(on_card.constants()[0].tensor.is_meta());
  EXPECT_TRUE(on_card.constants()[0].tensor.requires_grad());
  EXPECT_TRUE(on_card.constants()[1].tensor.is_cpu());
  const std::vector<at::Tensor> there = on_card.run(&image, 1, {});
  EXPECT_TRUE(there.at(0).is_meta());
  EXPECT_EQ(there.at(0).sizes(), at::IntArrayRef(back));

  Executor here(graph, false);
  const std::vector<at::Tensor> values = here.run(&image, 1, {});
  EXPECT_TRUE(at::equal(values.at(0).detach(), at::full({8, 2}, 6.0f)));
}

}  // namespace
}  // namespace kvant::train::plugin
