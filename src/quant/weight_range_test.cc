// SPDX-License-Identifier: Apache-2.0
// Ranges of weights: the channels of every layer that takes a weight, by largest magnitude and by least
// error.
#include "quant/weight_range.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/random.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

Tensor noise(Shape shape, uint64_t seed) {
  Tensor x(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = random.normal();
  return x;
}

double squared_error(const std::vector<float>& values, float amax, int bits) {
  const float scale = symmetric_scale(amax, bits);
  const int32_t top = (1 << (bits - 1)) - 1;
  double error = 0;
  for (const float x : values) {
    const double e =
        static_cast<double>(x) - dequantize_value(quantize_value(x, scale, 0, {-top, top}), scale, 0);
    error += e * e;
  }
  return error;
}

// Number of scales that the weight of the only node gets, in the graph that quantization places pairs on.
struct AxisCase {
  const char* name;
  const char* weight;  // its type
  const char* node;
  int64_t axis;
};

class WeightAxis : public testing::TestWithParam<AxisCase> {};

TEST_P(WeightAxis, OneScaleForEachOutput) {
  const AxisCase& c = GetParam();
  ir::Graph graph = ir::parse(std::string("graph \"g\" { input %x: ") +
                              (std::string(c.node).find("Conv") == 0 ? "f32[1,4,5,5]" : "f32[2,4]") +
                              "\n const %w: " + c.weight + " = rand(1)\n %y = " + c.node + "\n output %y }");
  ir::infer_types(graph, ops::standard());
  const Sites sites = place(graph);
  const auto found =
      std::find_if(sites.all().begin(), sites.all().end(), [](const auto& s) { return s.second.weight; });
  ASSERT_NE(found, sites.all().end());
  EXPECT_EQ(found->second.axis, c.axis);

  // Brute force by the layout: the largest magnitude of each index of the axis.
  const Tensor& w = *graph.constant(graph.find_value("w"));
  const std::vector<float> amax = weight_amax(w, found->second.axis);
  const std::vector<int64_t> strides = [&] {
    std::vector<int64_t> s(w.rank(), 1);
    for (size_t i = w.rank() - 1; i > 0; --i) s[i - 1] = s[i] * w.dim(i);
    return s;
  }();
  std::vector<float> expected(c.axis < 0 ? 1 : static_cast<size_t>(w.dim(static_cast<size_t>(c.axis))), 0.0f);
  for (int64_t i = 0; i < w.size(); ++i) {
    const auto channel = c.axis < 0 ? size_t{0}
                                    : static_cast<size_t>(i / strides[static_cast<size_t>(c.axis)] %
                                                          w.dim(static_cast<size_t>(c.axis)));
    expected[channel] = std::max(expected[channel], std::fabs(w.data<float>()[static_cast<size_t>(i)]));
  }
  EXPECT_EQ(amax, expected);
}

INSTANTIATE_TEST_SUITE_P(
    All, WeightAxis,
    testing::Values(AxisCase{"Conv", "f32[6,4,3,3]", "Conv \"n\" (%x, %w)", 0},
                    AxisCase{"GroupedConv", "f32[6,2,3,3]", "Conv \"n\" (%x, %w) {group = 2}", 0},
                    AxisCase{"DepthwiseConv", "f32[4,1,3,3]", "Conv \"n\" (%x, %w) {group = 4}", 0},
                    AxisCase{"ConvTranspose", "f32[4,6,3,3]", "ConvTranspose \"n\" (%x, %w)", 1},
                    // Axis 1 counts the outputs within a group here: one scale for each output does not fit.
                    AxisCase{"GroupedConvTranspose", "f32[4,3,3,3]",
                             "ConvTranspose \"n\" (%x, %w) {group = 2}", -1},
                    AxisCase{"Gemm", "f32[4,7]", "Gemm \"n\" (%x, %w)", 1},
                    AxisCase{"GemmTransB", "f32[7,4]", "Gemm \"n\" (%x, %w) {transB = 1}", 0},
                    AxisCase{"MatMul", "f32[4,7]", "MatMul \"n\" (%x, %w)", 1},
                    AxisCase{"BatchedMatMul", "f32[3,4,7]", "MatMul \"n\" (%x, %w)", -1}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(WeightRange, DeadChannelsHaveScaleOne) {
  const Tensor w = Tensor::of<float>({3, 2}, {0, 0, -1.27f, 1, 1e-41f, 0});
  for (const WeightCalibrator calibrator : {WeightCalibrator::Max, WeightCalibrator::Mse}) {
    const QuantParams params = weight_params(w, 0, 8, "w", calibrator);
    EXPECT_EQ(params.scale[0], 1.0f);
    EXPECT_NEAR(params.scale[1], 0.01f, 0.0005f);
    EXPECT_EQ(params.scale[2], 1.0f);  // a scale below the normal floats would not survive
    EXPECT_THAT(weight_params(Tensor::full({4, 3}, 0), 1, 8, "w", calibrator).scale, ElementsAre(1, 1, 1));
    EXPECT_THAT(weight_params(Tensor::full({4, 3}, 0), -1, 8, "w", calibrator).scale, ElementsAre(1));
  }
}

TEST(WeightRange, LeastErrorIsWithinOnePerCentOfBruteForce) {
  for (const int bits : {2, 3, 4, 6, 8}) {
    const Tensor w = noise({3, 500}, static_cast<uint64_t>(bits));
    const std::vector<float> widest = weight_amax(w, 0);
    const std::vector<float> chosen = weight_ranges(w, 0, bits, WeightCalibrator::Mse);
    for (size_t channel = 0; channel < 3; ++channel) {
      const auto begin = w.data<float>().begin() + static_cast<ptrdiff_t>(channel * 500);
      const std::vector<float> values(begin, begin + 500);
      double least = std::numeric_limits<double>::max();
      for (int i = 1; i <= 4000; ++i) {
        least = std::min(least, squared_error(values, widest[channel] * static_cast<float>(i) / 4000, bits));
      }
      EXPECT_LE(squared_error(values, chosen[channel], bits), 1.01 * least) << bits << " bits";
      EXPECT_LE(chosen[channel], widest[channel]);
      EXPECT_LE(squared_error(values, chosen[channel], bits), squared_error(values, widest[channel], bits));
    }
  }
}

TEST(WeightRange, WhatIsCutOffMovesToTheOutermostCode) {
  const Tensor w = noise({3, 300}, 8);
  const QuantParams params = weight_params(w, 0, 4, "w", WeightCalibrator::Mse);
  EXPECT_FALSE(cut_to_codes(w, weight_params(w, 0, 4), 4).has_value());
  const std::optional<Tensor> cut = cut_to_codes(w, params, 4);
  ASSERT_TRUE(cut.has_value());
  size_t moved = 0;
  for (size_t i = 0; i < 900; ++i) {
    const float before = w.data<float>()[i], after = cut->data<float>()[i];
    const int32_t code = quantize_value(after, params.scale[i / 300], 0, {-128, 127});
    EXPECT_EQ(code, quantize_value(before, params.scale[i / 300], 0, {-7, 7}));
    moved += before == after ? 0 : 1;
  }
  EXPECT_GT(moved, 0u);
  EXPECT_LT(moved, 100u);
}

TEST(WeightRange, InsertedPairsKeepToTheirCodes) {
  const ir::Graph graph = [] {
    ir::Graph g = ir::parse(R"(graph "g" { input %x: f32[1,4,5,5]
      const %w: f32[8,4,3,3] = rand(1)
      %squared = Mul "square" (%w, %w)
      %y = Conv "n" (%x, %w)
      output %y
      output %squared })");
    Tensor w = noise({8, 4, 3, 3}, 77);
    g.set_constant(g.find_value("w"), w);
    ir::infer_types(g, ops::standard());
    return g;
  }();
  const Sites sites = place(graph);
  CalibrationTable table;
  for (const std::string& name : tensors_to_calibrate(sites)) table.ranges[name] = {-1, 1};
  ir::Graph pairs = graph;
  insert_pairs(pairs, sites, table, 3, WeightCalibrator::Mse);
  const auto pair = ir::quantized_behind(pairs, pairs.node(pairs.find_node("n")).inputs[1]);
  ASSERT_TRUE(pair.has_value());
  const Tensor codes = quantize(*pairs.constant(pair->source), pair->params);
  for (const int64_t code : codes.to_ints()) EXPECT_LE(std::abs(code), 3);
  // The other reader of the weight sees it as it was.
  const ir::ValueId other = pairs.node(pairs.find_node("square")).inputs[0];
  EXPECT_EQ(pairs.constant(other)->to_floats(), graph.constant(graph.find_value("w"))->to_floats());
}

TEST(WeightRange, LeastErrorFollowsTheAxis) {
  // The same channels laid out along axis 0 and along axis 1.
  const Tensor rows = noise({4, 100}, 5);
  Tensor columns(DType::Float32, {100, 4});
  for (size_t i = 0; i < 100; ++i) {
    for (size_t k = 0; k < 4; ++k) columns.mutable_data<float>()[i * 4 + k] = rows.data<float>()[k * 100 + i];
  }
  EXPECT_EQ(weight_ranges(rows, 0, 4, WeightCalibrator::Mse),
            weight_ranges(columns, 1, 4, WeightCalibrator::Mse));
  EXPECT_EQ(weight_ranges(rows, 0, 4, WeightCalibrator::Mse),
            weight_ranges(columns, -1 + 2, 4, WeightCalibrator::Mse));
}

TEST(WeightRange, ExtremeMagnitudes) {
  for (const float size : {1e-30f, 1e30f}) {
    Tensor w = noise({1, 200}, 9);
    const float one = weight_ranges(w, 0, 4, WeightCalibrator::Mse)[0];
    for (float& x : w.mutable_data<float>()) x *= size;
    EXPECT_NEAR(weight_ranges(w, 0, 4, WeightCalibrator::Mse)[0] / size, one, 0.01f);
  }
}

TEST(WeightRange, Refusals) {
  EXPECT_EQ(weight_calibrator_named("mse"), WeightCalibrator::Mse);
  EXPECT_EQ(message_of([] { weight_calibrator_named("mes"); }),
            "there is no calibrator 'mes' for weights (nearest: max, mse)");
  const Tensor bad = Tensor::of<float>({2, 2}, {1, 2, 3, NAN});
  for (const WeightCalibrator calibrator : {WeightCalibrator::Max, WeightCalibrator::Mse}) {
    EXPECT_THAT(message_of([&] { weight_params(bad, 0, 8, "the weight of Conv 'c'", calibrator); }),
                HasSubstr("the weight of Conv 'c' holds NaN or infinity (channel 1)"));
  }
}

}  // namespace
}  // namespace kvant::quant
