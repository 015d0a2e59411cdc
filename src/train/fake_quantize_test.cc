// SPDX-License-Identifier: Apache-2.0
#include "train/fake_quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "tensor/quantize.h"

namespace kvant::train {
namespace {

// Values around every rounding edge of the codes, and far outside.
std::vector<float> awkward_values(float scale, Random& random) {
  std::vector<float> values{0.0f, -0.0f, 1e30f, -1e30f, 1e-40f, std::numeric_limits<float>::infinity()};
  for (int half = -520; half <= 520; ++half) {
    const float edge = 0.5f * static_cast<float>(half) * scale;
    values.insert(values.end(), {edge, std::nextafter(edge, 1e9f), std::nextafter(edge, -1e9f)});
  }
  for (int i = 0; i < 4000; ++i) values.push_back(random.normal() * scale * 90);
  return values;
}

TEST(FakeQuantize, EqualsTheQuantizationArithmeticBitForBit) {
  Random random(1);
  for (int trial = 0; trial < 60; ++trial) {
    QuantParams params{.dtype = trial % 3 == 0 ? DType::UInt8 : DType::Int8,
                       .scale = {std::exp(random.uniform(-9.0f, 4.0f))},
                       .zero_point = {trial % 3 == 0 ? static_cast<int32_t>(random.below(256)) : 0}};
    const std::vector<float> x = awkward_values(params.scale[0], random);
    const Tensor expected = fake_quantize(Tensor::vector(x), params);
    const IntRange range = code_range(params.dtype);
    std::vector<float> y(x.size());
    fake_quantize(x.data(), y.data(), static_cast<int64_t>(x.size()), params.scale[0],
                  static_cast<float>(range.low - params.zero_point[0]),
                  static_cast<float>(range.high - params.zero_point[0]));
    EXPECT_EQ(Tensor::vector(y), expected) << "scale " << params.scale[0];
  }
}

TEST(FakeQuantize, SixteenBitCodesAreExactToo) {
  Random random(2);
  const QuantParams params{.dtype = DType::UInt16, .scale = {0.001f}, .zero_point = {32768}};
  std::vector<float> x(5000), y(5000);
  for (float& v : x) v = random.uniform(-50.0f, 50.0f);
  fake_quantize(x.data(), y.data(), 5000, 0.001f, -32768, 32767);
  EXPECT_EQ(Tensor::vector(y), fake_quantize(Tensor::vector(x), params));
}

TEST(FakeQuantize, NaNStaysNaN) {
  const float x = std::numeric_limits<float>::quiet_NaN();
  float y = 0;
  fake_quantize(&x, &y, 1, 0.5f, -127, 127);
  EXPECT_TRUE(std::isnan(y));
}

TEST(FakeQuantize, GradientPassesWhereTheRoundedCodeIsInRange) {
  const std::vector<float> x{-8.0f, -7.5f, -7.49f, 0.0f, 7.49f, 7.5f, 8.0f, 1e30f};
  const std::vector<float> g(x.size(), 2.0f);
  std::vector<float> gx(x.size());
  fake_quantize_backward(x.data(), g.data(), gx.data(), static_cast<int64_t>(x.size()), 1.0f, -7, 7);
  // 7.5 rounds to 8, out of range; -7.5 to -8.
  EXPECT_EQ(gx, (std::vector<float>{0, 0, 2, 2, 2, 0, 0, 0}));
}

TEST(FakeQuantize, ScaleGradientIsTheFormulas) {
  Random random(3);
  constexpr int64_t kCount = 10000;
  std::vector<float> x(kCount), g(kCount), gx(kCount), ste(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    x[static_cast<size_t>(i)] = random.normal();
    g[static_cast<size_t>(i)] = random.normal();
  }
  const float scale = 0.11f, low = -15, high = 15;
  double expected = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double r = round_even(x[i] / scale), q = std::min(std::max(r, -15.0), 15.0);
    expected += g[i] * (r == q ? q - static_cast<double>(x[i] / scale) : q);
  }
  const double sum = fake_quantize_backward_scale(x.data(), g.data(), gx.data(), kCount, scale, low, high);
  EXPECT_NEAR(sum, expected, 1e-4 * std::abs(expected) + 1e-2);
  fake_quantize_backward(x.data(), g.data(), ste.data(), kCount, scale, low, high);
  EXPECT_EQ(gx, ste);
}

TEST(FakeQuantize, MaxMagnitude) {
  const std::vector<float> x{0.5f, -3.0f, 2.0f};
  EXPECT_EQ(max_magnitude(x.data(), 3), 3.0f);
  EXPECT_EQ(max_magnitude(x.data(), 0), 0.0f);
}

TEST(FakeQuantize, RangesWidenAndPassNaNOver) {
  std::vector<float> x(1000, 0.25f);
  x[3] = -2.0f;
  x[700] = 5.0f;
  x[701] = std::numeric_limits<float>::quiet_NaN();
  float low = 0, high = 1;
  widen_range(x.data(), 1000, &low, &high);
  EXPECT_EQ(low, -2.0f);
  EXPECT_EQ(high, 5.0f);
  widen_range(x.data(), 0, &low, &high);
  EXPECT_EQ(high, 5.0f);
}

TEST(FakeQuantize, TheCoveringScaleIsTheSmallestThatReachesBothEnds) {
  EXPECT_EQ(covering_scale(-1.0f, 2.54f, -127, 127), 2.54f / 127);  // symmetric: the larger side
  EXPECT_EQ(covering_scale(-2.54f, 1.0f, -128, 127), 2.54f / 127);  // ... without code -128
  EXPECT_EQ(covering_scale(0.0f, 5.1f, 0, 255), 5.1f / 255);        // uint8 with zero point 0
  EXPECT_EQ(covering_scale(-3.0f, 5.1f, 0, 255), 5.1f / 255);       // what lies below cannot be reached
  EXPECT_EQ(covering_scale(-1.0f, 1.0f, -100, 155), 1.0f / 100);    // uint8 with zero point 100
  EXPECT_EQ(covering_scale(0.0f, 0.0f, -127, 127), 0.0f);
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(covering_scale(infinity, -infinity, -127, 127), 0.0f);  // of no value at all
}

}  // namespace
}  // namespace kvant::train
