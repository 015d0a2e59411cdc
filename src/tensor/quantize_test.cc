// SPDX-License-Identifier: Apache-2.0
#include "tensor/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace kvant {
namespace {

using testing::ElementsAre;

TEST(Quantize, RoundsHalfToEvenAndSaturates) {
  const Tensor x = Tensor::of<float>({8}, {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 200.0f, -200.0f, 0.49999997f});
  const Tensor q = quantize(x, {.dtype = DType::Int8, .scale = {1.0f}, .zero_point = {}});
  EXPECT_THAT(q.data<int8_t>(), ElementsAre(0, 2, 2, 0, -2, 127, -128, 0));
}

TEST(Quantize, TheZeroPointIsAddedAfterRounding) {
  // 0.5 / 1 rounds to 0 and then gets 3; rounding the sum 3.5 would give 4.
  EXPECT_EQ(quantize_value(0.5f, 1.0f, 3, {0, 255}), 3);
  EXPECT_EQ(quantize_value(std::numeric_limits<float>::infinity(), 1.0f, 128, {0, 255}), 255);
  EXPECT_EQ(quantize_value(-std::numeric_limits<float>::infinity(), 1.0f, 128, {0, 255}), 0);
  EXPECT_EQ(quantize_value(std::nanf(""), 1.0f, 7, {0, 255}), 7);
}

TEST(Quantize, PerChannelUsesTheScaleOfItsAxis) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 2, 3, 4});
  const QuantParams by_column{.dtype = DType::UInt8, .scale = {1, 2}, .zero_point = {10, 20}, .axis = 1};
  EXPECT_THAT(quantize(x, by_column).data<uint8_t>(), ElementsAre(11, 21, 13, 22));
  EXPECT_THAT(fake_quantize(x, by_column).data<float>(), ElementsAre(1, 2, 3, 4));
  const QuantParams wrong{.dtype = DType::Int8, .scale = {1, 2, 3}, .zero_point = {}, .axis = 1};
  EXPECT_THROW(quantize(x, wrong), Error);
}

TEST(Quantize, ErasingADequantizeQuantizePairIsExact) {
  // qdq-rules.md 4.3: DQ then Q with equal parameters gives every code back, for any scale.
  Random random(3);
  for (int i = 0; i < 20000; ++i) {
    const float scale = std::exp(random.uniform(-60.0f, 60.0f));
    const auto code = static_cast<int32_t>(random.below(256)) - 128;
    ASSERT_EQ(quantize_value(dequantize_value(code, scale, 0), scale, 0, {-128, 127}), code) << scale;
  }
}

TEST(Requantize, IsOneFmaAndOneRounding) {
  EXPECT_EQ(requantize(5, 0.5f, 0.0f, 0, {-128, 127}), 2);  // 2.5 to even
  EXPECT_EQ(requantize(7, 0.5f, 0.0f, 0, {-128, 127}), 4);  // 3.5 to even
  EXPECT_EQ(requantize(-9, 1.0f, 0.0f, 0, {0, 127}), 0);    // ReLU as the lower bound
  EXPECT_EQ(requantize(1000, 1.0f, 0.0f, 128, {0, 255}), 255);
  // fma keeps what a rounded product would lose: (1 + 2^-23)^2 - 1 = 2^-22 + 2^-46.
  const float m = 1.0f + 0x1p-23f;
  EXPECT_EQ(requantize_add(0, 1.0f, 3.0f, -2, 1.5f, 10, {0, 255}), 10);
  EXPECT_EQ(requantize(8388609, m, -8388610.0f, 0, {-128, 127}),
            static_cast<int32_t>(std::nearbyint(std::fma(8388609.0f, m, -8388610.0f))));
}

TEST(SymmetricScale, DividesByTheLargestCode) {
  EXPECT_EQ(symmetric_scale(127.0f), 1.0f);
  EXPECT_EQ(symmetric_scale(7.0f, 4), 1.0f);
  EXPECT_EQ(symmetric_scale(0.0f), 1.0f);
}

}  // namespace
}  // namespace kvant
