// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/equalize.h"

#include <gmock/gmock.h>

#include "quant/adjust/adjust_testing.h"
#include "quant/adjust/channel_balance.h"
#include "quant/adjust/hidden_bounds.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

// A convolution whose channels have very different ranges, then `middle` from %y to %z, then `last`.
std::string chain(const std::string& middle, const std::string& last, const std::string& inner = "") {
  return R"(input %x: f32[N,3,8,8]
    const %w: f32[4,3,3,3] = rand(1)
    const %uneven: f32[4,1,1,1] = {1.0, 0.02, 3.0, 0.1}
    %w1 = Mul "uneven" (%w, %uneven)
    const %b: f32[4] = {0.3, 0.01, -0.2, 0.0}
    %y = Conv "c1" (%x, %w1, %b) {pads = [1,1,1,1]}
    )" + middle +
         "\n" + inner + "\n" + last + "\noutput %out";
}
const char* const kPointwise = R"(const %v: f32[5,4,1,1] = rand(2)
    const %vb: f32[5] = rand(3)
    %out = Conv "c2" (%z, %v, %vb))";
const char* const kDepthwise = R"(const %v: f32[4,1,3,3] = rand(2)
    %out = Conv "c2" (%z, %v) {group = 4, pads = [1,1,1,1]})";
const char* const kRelu = "%z = Relu \"r\" (%y)";
const char* const kRelu6 = R"(const %low: f32[] = {0.0}
    const %high: f32[] = {0.5}
    %z = Clip "r" (%y, %low, %high))";

ir::Graph folded(const std::string& body) {
  ir::Graph graph = parsed(body);
  ir::fold_constants(graph, ops::standard());
  ir::infer_types(graph, ops::standard());
  return graph;
}

float spread(const ir::Graph& graph, const std::string& name) {
  ir::Graph part = graph;
  part.set_outputs({graph.find_value(name)});
  const Tensor y = evaluated(part, noise({4, 3, 8, 8}, 100))[0];
  std::vector<float> magnitude(static_cast<size_t>(y.dim(1)), 0.0f);
  for (int64_t i = 0; i < y.size(); ++i) {
    float& m = magnitude[static_cast<size_t>(i / (y.dim(2) * y.dim(3)) % y.dim(1))];
    m = std::max(m, std::fabs(y.data<float>()[static_cast<size_t>(i)]));
  }
  return *std::max_element(magnitude.begin(), magnitude.end()) /
         *std::min_element(magnitude.begin(), magnitude.end());
}

// Squared error of one channel of tensors [n, 4, plane].
double channel_error(const Tensor& a, const Tensor& b, int64_t channel) {
  double error = 0;
  const int64_t plane = a.dim(2) * a.dim(3);
  for (int64_t i = 0; i < a.size(); ++i) {
    if (i / plane % a.dim(1) != channel) continue;
    const double d = a.data<float>()[static_cast<size_t>(i)] - b.data<float>()[static_cast<size_t>(i)];
    error += d * d;
  }
  return error;
}

void expect_same_function(const std::string& body, const std::string& changed, float narrower) {
  ir::Graph graph = folded(body);
  const ir::Graph before = graph;
  const float spread_before = spread(graph, changed);
  EXPECT_THAT(apply_step("equalize", graph, noise_set({3, 8, 8}, 2)), HasSubstr("1 tensors evened out"));
  EXPECT_EQ(graph.find_value(changed), ir::kNone);
  EXPECT_LT(spread(graph, changed + "_equalized"), spread_before / narrower);
  for (const uint64_t seed : {1u, 2u, 3u}) {
    const Tensor x = noise({2, 3, 8, 8}, seed, 3);  // outside of what the step has seen, too
    EXPECT_LE(max_abs_difference(evaluated(before, x)[0], evaluated(graph, x)[0]), 2e-5);
  }
}

TEST(Equalize, KeepsTheFunctionThroughRelu) {
  expect_same_function(chain(kRelu, kPointwise), "z", 2);
  expect_same_function(chain(kRelu, kDepthwise), "z", 10);
}

TEST(Equalize, KeepsTheFunctionThroughClip) {
  expect_same_function(chain(kRelu6, kPointwise), "z", 1.5f);
  expect_same_function(chain(kRelu6, kDepthwise), "z", 2);
}

TEST(Equalize, KeepsTheFunctionThroughPoolingAndFlatten) {
  const std::string tail = R"(const %v: f32[4,6] = rand(5)
    const %vb: f32[6] = rand(6)
    %out = Gemm "g" (%z, %v, %vb) {alpha = 0.5})";
  expect_same_function(
      chain("%r = Relu \"r\" (%y)\n%p = GlobalAveragePool \"p\" (%r)", tail, "%z = Flatten \"f\" (%p)"), "y",
      2);
}

TEST(Equalize, GoesThroughLinearLayers) {
  ir::Graph graph = parsed(R"(input %x: f32[N,6]
    const %w: f32[6,4] = rand(1)
    const %b: f32[4] = {0.1, 30.0, 0.0, 0.01}
    %m = MatMul "m" (%x, %w)
    %y = Add "a" (%m, %b)
    %z = Relu "r" (%y)
    const %v: f32[3,4] = rand(2)
    %out = Gemm "g" (%z, %v) {transB = 1}
    output %out)");
  const ir::Graph before = graph;
  EXPECT_THAT(apply_step("equalize", graph, noise_set({6}, 4)), HasSubstr("1 tensors evened out"));
  const Tensor x = noise({7, 6}, 5);
  EXPECT_LE(max_abs_difference(evaluated(before, x)[0], evaluated(graph, x)[0]), 5e-5);
}

TEST(Equalize, AbsorbsBiasesThatTheDataNeverUndercuts) {
  // Channel 1 is 5 + something small: always far above 0.
  const std::string body = R"(input %x: f32[N,2,4,4]
    const %w: f32[2,2,1,1] = {1.0, 0.5, 0.1, 0.1}
    const %b: f32[2] = {0.0, 5.0}
    %y = Conv "c1" (%x, %w, %b)
    )" + std::string(kRelu) +
                           R"(
    const %v: f32[3,2,1,1] = rand(2)
    const %vb: f32[3] = rand(3)
    %out = Conv "c2" (%z, %v, %vb)
    output %out)";
  ir::Graph graph = parsed(body);
  const ir::Graph before = graph;
  const CalibrationSet data = noise_set({2, 4, 4}, 8);
  EXPECT_THAT(apply_step("equalize", graph, data), HasSubstr("1 biases absorbed"));
  const Tensor x = noise({4, 2, 4, 4}, 100);
  EXPECT_LE(max_abs_difference(evaluated(before, x)[0], evaluated(graph, x)[0]), 2e-5);
  // Behind padding, zeros would have to become the constant: not done.
  std::string padded = body;
  padded.replace(padded.find("(%z, %v, %vb)"), 13, "(%z, %v, %vb) {pads = [1,1,1,1]}");
  ir::Graph other = parsed(padded);
  EXPECT_THAT(apply_step("equalize", other, data), HasSubstr("0 biases absorbed"));
}

TEST(Equalize, LeavesTensorsThatOthersRead) {
  for (const std::string extra : {"%s = Sigmoid \"s\" (%z)\noutput %s", "output %z", "output %y"}) {
    ir::Graph graph = folded(chain(kRelu, kPointwise) + "\n" + extra);
    const std::string before = ir::print(graph);
    EXPECT_THAT(apply_step("equalize", graph, noise_set({3, 8, 8}, 1)), HasSubstr("0 tensors evened out"));
    EXPECT_EQ(ir::print(graph), before);
  }
  ir::Graph smooth = folded(chain("%z = Sigmoid \"r\" (%y)", kPointwise));
  EXPECT_THAT(apply_step("equalize", smooth, noise_set({3, 8, 8}, 1)), HasSubstr("0 tensors"));
}

TEST(Equalize, TheBoundOfAClipVanishesBehindTheQuantizer) {
  const ir::Graph model = folded(chain(kRelu6, kDepthwise));
  QuantizeOptions options;
  options.adjust = {"equalize"};
  const QuantizeResult result = quantize(model, ops::standard(), noise_set({3, 8, 8}, 2), interpret, options);
  for (const ir::NodeId id : result.graph.topological_order()) {
    EXPECT_NE(result.graph.node(id).op, "Min");
    EXPECT_NE(result.graph.node(id).op, "Clip");
  }
  options.adjust = {};
  const QuantizeResult plain = quantize(model, ops::standard(), noise_set({3, 8, 8}, 2), interpret, options);
  const Tensor x = noise({4, 3, 8, 8}, 7);
  const Tensor wanted = evaluated(model, x)[0];
  // The channel of the least range has gained most.
  EXPECT_LT(channel_error(wanted, evaluated(result.graph, x)[0], 1),
            0.5 * channel_error(wanted, evaluated(plain.graph, x)[0], 1));
}

TEST(HiddenBounds, DropsOnlyWhatTheQuantizerHides) {
  const std::string head = R"(input %x: f32[N,2,3,3]
    const %bound: f32[2,1,1] = )";
  const std::string tail = R"(
    %y = Min "m" (%x, %bound)
    const %s: f32[] = {0.01}
    const %zp: i8[] = {0}
    %q = QuantizeLinear "q" (%y, %s, %zp)
    %out = DequantizeLinear "d" (%q, %s, %zp)
    output %out)";
  const Tensor x = noise({2, 2, 3, 3}, 4, 2);
  ir::Graph hidden = parsed(head + "{1.27, 5.0}" + tail);
  const Tensor before = evaluated(hidden, x)[0];
  EXPECT_THAT(drop_hidden_bounds(hidden), testing::ElementsAre("m"));
  EXPECT_EQ(before, evaluated(hidden, x)[0]);
  EXPECT_EQ(hidden.find_node("m"), ir::kNone);
  ir::Graph needed = parsed(head + "{1.25, 5.0}" + tail);
  EXPECT_THAT(drop_hidden_bounds(needed), testing::IsEmpty());
  ir::Graph read = parsed(head + "{1.27, 5.0}" + tail + "\noutput %y");
  EXPECT_THAT(drop_hidden_bounds(read), testing::IsEmpty());
}

TEST(ChannelBalance, FollowsTheFormula) {
  WeightedLayer layer;
  layer.inputs = layer.outputs = 2;
  layer.out_axis = 0;
  const std::vector<double> weight{1.0, 0.25, 0.5, 0.125};  // shares of the channels: 1 and 1/4
  const std::vector<ChannelReader> readers{{&layer, weight}};
  const ChannelRanges channels{{4.0, 1.0}, {1.0, 0.1}};
  const std::vector<double> half = balance_channels(channels, readers, 0.5);
  // sqrt(1 / 1) and sqrt((1/4) / (1/4)): in balance already
  EXPECT_NEAR(half[0], 1, 1e-12);
  EXPECT_NEAR(half[1], 1, 1e-12);
  const std::vector<double> full = balance_channels(channels, readers, 1.0);
  EXPECT_NEAR(full[0] / full[1], 4, 1e-12);
  EXPECT_NEAR(full[0] * full[1], 1, 1e-12);
  const std::vector<double> ones{1, 1};
  EXPECT_LE(noise_power(channels, readers, balance_channels(channels, readers, std::nullopt)),
            noise_power(channels, readers, ones));
}

}  // namespace
}  // namespace kvant::quant
