// SPDX-License-Identifier: Apache-2.0
// Quantization from data that is not as one would like it: shapes that vary, one sample, zeros, NaN.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/random.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/quantize.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

std::unique_ptr<ir::Runner> interpret(const ir::Graph& graph) {
  return std::make_unique<ir::Interpreter>(graph, ops::standard());
}

Tensor noise(Shape shape, uint64_t seed, float size = 1) {
  Tensor x(DType::Float32, std::move(shape));
  Random random(seed);
  for (float& value : x.mutable_data<float>()) value = size * random.normal();
  return x;
}

// Two convolutions over images of any size.
ir::Graph network() {
  return ir::parse(R"(graph "g" { input %image: f32[N,3,H,W]
    const %w1: f32[8,3,3,3] = rand(1)
    const %w2: f32[4,8,1,1] = rand(2)
    %a = Conv "conv1" (%image, %w1) {pads = [1,1,1,1]}
    %b = Relu "relu1" (%a)
    %c = Conv "conv2" (%b, %w2)
    %d = GlobalAveragePool "pool" (%c)
    output %d })");
}

QuantizeResult quantized(std::vector<std::vector<Tensor>> batches, const std::string& calibrator = "max") {
  QuantizeOptions options;
  options.calibration.calibrator = calibrator;
  return quantize(network(), ops::standard(), batches_of(std::move(batches)), interpret, options);
}

TEST(OddData, ShapesMayVaryFromBatchToBatch) {
  const Tensor small = noise({2, 3, 8, 8}, 1), wide = noise({1, 3, 6, 20}, 2, 3),
               again = noise({1, 3, 8, 8}, 3, 2);
  for (const CalibratorEntry& entry : calibrators()) {
    const std::string name(entry.name);
    const QuantizeResult all = quantized({{small}, {wide}, {again}}, name);
    EXPECT_EQ(all.table.samples, 4);
    // The order of the shapes does not matter.
    EXPECT_EQ(to_json(quantized({{again}, {small}, {wide}}, name).table), to_json(all.table)) << name;
    EXPECT_EQ(all.graph.value(all.graph.inputs()[0]).type.shape,
              (Shape{kUnknownDim, 3, kUnknownDim, kUnknownDim}));
  }
  // What `max` saw is the union of what it sees in each of them.
  const QuantizeResult all = quantized({{small}, {wide}, {again}});
  CalibrationTable merged;
  for (const Tensor& batch : {small, wide, again}) {
    const CalibrationTable one = quantized({{batch}}).table;
    for (const auto& [name, range] : one.ranges) {
      auto& whole = merged.ranges[name];
      whole = {std::min(whole.low, range.low), std::max(whole.high, range.high)};
    }
  }
  EXPECT_EQ(merged.ranges, all.table.ranges);
}

TEST(OddData, OneSampleWorks) {
  for (const CalibratorEntry& entry : calibrators()) {
    const QuantizeResult result = quantized({{noise({1, 3, 8, 8}, 5)}}, std::string(entry.name));
    EXPECT_EQ(result.table.samples, 1);
    for (const auto& [name, range] : result.table.ranges) EXPECT_GT(range.amax(), 0.5f) << entry.name << name;
  }
}

TEST(OddData, TensorsOfZerosGetScaleOne) {
  for (const CalibratorEntry& entry : calibrators()) {
    const QuantizeResult result = quantized({{Tensor::full({2, 3, 8, 8}, 0)}}, std::string(entry.name));
    EXPECT_EQ(result.table.ranges.at("image"), (Range{0, 0})) << entry.name;
    const auto pair = ir::quantized_forms(result.graph, result.graph.inputs()[0]);
    ASSERT_EQ(pair.size(), 1u);
    EXPECT_EQ(pair[0].params.scale.at(0), 1.0f);
    const std::vector<Tensor> inputs{noise({1, 3, 8, 8}, 6)};
    const Tensor output = ir::evaluate(result.graph, ops::standard(), inputs)[0];
    for (const float y : output.data<float>()) EXPECT_TRUE(std::isfinite(y));
  }
}

TEST(OddData, NotANumberIsNamedWithItsBatch) {
  Tensor bad = noise({2, 3, 8, 8}, 7);
  bad.mutable_data<float>()[100] = NAN;
  EXPECT_THAT(
      message_of([&] {
        quantized({{noise({2, 3, 8, 8}, 8)}, {bad}});
      }),
      HasSubstr("tensor 'image' holds NaN or infinity in calibration batch 1: check the model's weights"));
  // Values that are finite, and overflow within the network.
  EXPECT_THAT(message_of([&] {
                quantized({{Tensor::full({1, 3, 8, 8}, 3e38f)}});
              }),
              HasSubstr("holds NaN or infinity in calibration batch 0"));
}

TEST(OddData, ShapesThatDoNotFit) {
  EXPECT_THAT(message_of([&] {
                quantized({{noise({1, 4, 8, 8}, 9)}});
              }),
              HasSubstr("input 'image' takes shape ?x3x?x?, got 1x4x8x8"));
  EXPECT_THAT(message_of([&] {
                quantized({{noise({3, 8, 8}, 9)}});
              }),
              HasSubstr("input 'image' takes shape ?x3x?x?, got 3x8x8"));
  EXPECT_THAT(message_of([&] {
                quantized({{noise({1, 3, 8, 8}, 9), noise({1, 3, 8, 8}, 9)}});
              }),
              HasSubstr("input"));
  EXPECT_THAT(message_of([&] { quantized({}); }), HasSubstr("the calibration set is empty"));
}

}  // namespace
}  // namespace kvant::quant
