// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "ir/qdq.h"
#include "quant/adjust/adjust_testing.h"
#include "quant/adjust/channel_statistics.h"
#include "quant/adjust/layer_levels.h"
#include "zoo/zoo.h"

namespace kvant::quant {
namespace {

const std::string kNet = R"(input %x: f32[N,3,6,6]
    const %w: f32[8,3,3,3] = rand(1)
    %a = Conv "c1" (%x, %w) {pads = [1,1,1,1]}
    %r = Relu "r" (%a)
    const %v: f32[8,1,3,3] = rand(2)
    const %vb: f32[8] = rand(3)
    %d = Conv "c2" (%r, %v, %vb) {group = 8, pads = [1,1,1,1]}
    %s = Relu "s" (%d)
    %p = GlobalAveragePool "p" (%s)
    %f = Flatten "f" (%p)
    const %u: f32[8,5] = rand(4)
    const %ub: f32[5] = rand(5)
    %m = MatMul "m" (%f, %u)
    %out = Add "b" (%m, %ub)
    output %out)";

std::vector<double> mean_errors(const ir::Graph& a, const ir::Graph& b, const std::string& value,
                                const CalibrationSet& data) {
  ir::Graph left = a, right = b;
  left.set_outputs({a.find_value(value)});
  right.set_outputs({b.find_value(value)});
  ChannelStatistics l, r;
  const BatchSource source = data.open();
  while (const auto batch = source()) {
    const Tensor y = ir::evaluate(left, ops::standard(), *batch)[0],
                 z = ir::evaluate(right, ops::standard(), *batch)[0];
    l.add(y, 1);
    r.add(z, 1);
  }
  std::vector<double> errors;
  for (size_t c = 0; c < l.sum.size(); ++c) errors.push_back(std::fabs(l.mean(c) - r.mean(c)));
  return errors;
}

TEST(BiasCorrection, MeansOfAllLayersAreRightAfterwards) {
  const ir::Graph model = parsed(kNet);
  const CalibrationSet data = noise_set({3, 6, 6}, 6);
  QuantizeOptions options;
  options.adjust = {};
  options.bits = 4;
  const QuantizeResult plain = quantize(model, ops::standard(), data, interpret, options);
  options.adjust = {"bias-correction"};
  const QuantizeResult corrected = quantize(model, ops::standard(), data, interpret, options);
  EXPECT_EQ(corrected.adjust.at(0).remark, "3 layers");
  for (const char* value : {"a", "d", "out"}) {
    const std::vector<double> before = mean_errors(model, plain.graph, value, data);
    const std::vector<double> after = mean_errors(model, corrected.graph, value, data);
    for (size_t c = 0; c < before.size(); ++c) EXPECT_LE(after[c], 1e-4) << value << " " << c;
    EXPECT_GT(*std::max_element(before.begin(), before.end()), 1e-3) << value;
  }
  // The MatMul's bias is the Add behind it; the convolution without a bias has one now.
  EXPECT_EQ(corrected.graph.node(corrected.graph.find_node("c1")).inputs.size(), 3u);
  EXPECT_EQ(corrected.graph.node(corrected.graph.find_node("m")).inputs.size(), 2u);
}

TEST(LayerLevels, LayersSideBySideShareALevel) {
  const ir::Graph graph = parsed(R"(input %x: f32[N,3,6,6]
    const %w: f32[4,3,1,1] = rand(1)
    const %v: f32[4,4,1,1] = rand(2)
    %a = Conv "a" (%x, %w)
    %b = Conv "b" (%a, %v)
    %c = Conv "c" (%a, %v)
    %s = Add "s" (%b, %c)
    %d = Conv "d" (%s, %v)
    output %d)");
  const std::vector<WeightedLayer> layers = weighted_layers(graph);
  EXPECT_THAT(
      levels_of(graph, layers),
      testing::ElementsAre(testing::ElementsAre(0), testing::ElementsAre(1, 2), testing::ElementsAre(3)));
  const ir::Graph part = leading_to(graph, {graph.find_value("b")});
  EXPECT_EQ(part.node_count(), 2u);
}

TEST(WeightedLayer, PlacesOfWeights) {
  const ir::Graph graph = parsed(R"(input %x: f32[N,4,6,6]
    const %w: f32[6,2,1,3] = rand(1)
    %a = Conv "a" (%x, %w) {group = 2}
    const %t: f32[6,2,2,2] = rand(2)
    %b = ConvTranspose "b" (%a, %t) {group = 3}
    output %b)");
  const std::vector<WeightedLayer> layers = weighted_layers(graph);
  ASSERT_EQ(layers.size(), 2u);
  EXPECT_EQ(layers[0].inputs, 4);
  EXPECT_EQ(layers[0].outputs, 6);
  const auto conv = layers[0].place(4 * 6 + 3);  // output 4 (second group), second of its inputs
  EXPECT_EQ(conv.out, 4);
  EXPECT_EQ(conv.in, 3);
  EXPECT_EQ(layers[1].outputs, 6);
  const auto transposed = layers[1].place(3 * 8 + 4);  // input 3 (second group), second of its outputs
  EXPECT_EQ(transposed.in, 3);
  EXPECT_EQ(transposed.out, 3);
}

TEST(ChannelStatistics, AddsUpOverBatches) {
  ChannelStatistics s;
  s.add(Tensor::of<float>({1, 2, 2}, {1, 3, -5, -7}), 1);
  s.add(Tensor::of<float>({1, 2, 1}, {5, 0}), 1);
  EXPECT_EQ(s.mean(0), 3);
  EXPECT_EQ(s.mean(1), -4);
  EXPECT_EQ(s.magnitude(1), 7);
  EXPECT_EQ(s.high[1], 0);
  EXPECT_NEAR(s.deviation(0), std::sqrt(8.0 / 3), 1e-12);
  EXPECT_THROW(s.add(Tensor::of<float>({1, 3, 1}, {0, 0, 0}), 1), Error);
  EXPECT_THROW(s.add(Tensor::of<float>({1, 2, 1}, {0, NAN}), 1), Error);
}

}  // namespace
}  // namespace kvant::quant
