// SPDX-License-Identifier: Apache-2.0
#include "tensor/sigmoid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/activation.h"

namespace kvant {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(Exponential, IsWithinOneUnitInTheLastPlace) {
  for (int i = -86'000; i <= 88'000; ++i) {
    const float x = static_cast<float>(i) * 1.0003e-3f;
    if (x > 88.3f) break;
    const double wanted = std::exp(static_cast<double>(x));
    const double unit = std::ldexp(1.0, std::ilogb(wanted) - 23);
    ASSERT_LE(std::abs(exponential(x) - wanted), 1.01 * unit) << x;
  }
  EXPECT_EQ(exponential(0.0f), 1.0f);
  EXPECT_EQ(exponential(-0.0f), 1.0f);
}

TEST(Exponential, HasEnds) {
  EXPECT_EQ(exponential(-1000.0f), exponential(-87.0f));
  EXPECT_EQ(exponential(-kInfinity), exponential(-87.0f));
  EXPECT_GT(exponential(-87.0f), 0.0f);
  EXPECT_EQ(exponential(89.0f), kInfinity);
  EXPECT_EQ(exponential(kInfinity), kInfinity);
  EXPECT_TRUE(std::isnan(exponential(NAN)));
}

TEST(Sigmoid, HasTheValuesAndEndsOfTheLogisticFunction) {
  for (int i = -2000; i <= 2000; ++i) {
    const float x = static_cast<float>(i) * 0.01f;
    const double wanted = 1.0 / (1.0 + std::exp(-static_cast<double>(x)));
    ASSERT_NEAR(sigmoid(x), wanted, 2e-7 * wanted) << x;
    ASSERT_EQ(activate(Activation::Silu, x, 0, 0), x * sigmoid(x));
  }
  EXPECT_EQ(sigmoid(kInfinity), 1.0f);
  EXPECT_EQ(sigmoid(-kInfinity), 0.0f);
  EXPECT_EQ(sigmoid(-120.0f), 0.0f);
  EXPECT_EQ(sigmoid(0.0f), 0.5f);
  EXPECT_TRUE(std::isnan(sigmoid(NAN)));
}

}  // namespace
}  // namespace kvant
