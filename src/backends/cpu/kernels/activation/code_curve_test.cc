// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/activation/code_curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "backends/cpu/kernels/epilogue.h"

namespace kvant::backends::cpu {
namespace {

Epilogue smooth(Activation activation, float inverse_scale, int32_t zero_point) {
  Epilogue e;
  e.activation = activation;
  e.inverse_scale = inverse_scale;
  e.zero_point = zero_point;
  add_curve(e);
  return e;
}

// Where the curve says that it is sure, its code is the definition's; counts how often it is not.
void expect_same_codes(const Epilogue& e, float v, int64_t& unsure) {
  const float t = e.curve->units(v);
  if (v < e.curve->known_from) return;
  if (!(std::abs(t - std::nearbyintf(t)) <= e.curve->safe_distance)) {
    ++unsure;
    return;
  }
  const auto code = std::clamp<int64_t>(static_cast<int64_t>(round_even(t)) + e.zero_point, e.low, e.high);
  ASSERT_EQ(static_cast<uint8_t>(code), finish_code(e, v)) << "at " << v;
}

TEST(CodeCurve, GivesTheDefinitionsCodesWhereItIsSure) {
  for (const Activation activation :
       {Activation::Sigmoid, Activation::Silu, Activation::Tanh, Activation::Gelu, Activation::GeluTanh,
        Activation::Softplus, Activation::Mish}) {
    for (const auto& [inverse_scale, zero_point] :
         {std::pair{255.0f, 0}, {127.0f, 128}, {31.7f, 9}, {12.3f, 40}, {3.0f, 100}}) {
      const Epilogue e = smooth(activation, inverse_scale, zero_point);
      ASSERT_NE(e.curve, nullptr) << name(activation) << " " << inverse_scale;
      int64_t unsure = 0, all = 0;
      for (int step = -400000; step <= 400000; ++step, ++all)
        expect_same_codes(e, static_cast<float>(step) * 1.7e-4f, unsure);
      for (float v = 1e-2f; v < 1e37f; v *= 1.01f, all += 2) {
        expect_same_codes(e, v, unsure);
        expect_same_codes(e, -v, unsure);
      }
      EXPECT_LT(static_cast<double>(unsure), 0.005 * static_cast<double>(all)) << name(activation);
      EXPECT_GT(e.curve->safe_distance, 0.48f);
    }
  }
}

// A network whose activations have all but vanished: every code lies within 1e-4 of where the function is 0.
TEST(CodeCurve, IsTheDefinitionsOrNoneForTinyScales) {
  for (const Activation activation :
       {Activation::Sigmoid, Activation::Silu, Activation::Tanh, Activation::Gelu, Activation::GeluTanh,
        Activation::Softplus, Activation::Mish}) {
    for (const float inverse_scale : {1e3f, 1e5f, 1e7f, 1e9f, 1e12f, 1e15f}) {
      const Epilogue e = smooth(activation, inverse_scale, 100);
      if (e.curve == nullptr) continue;
      int64_t unsure = 0;
      for (float v = 1e-25f; v < 1e4f; v *= 1.003f) {
        expect_same_codes(e, v, unsure);
        expect_same_codes(e, -v, unsure);
      }
    }
  }
}

// Codes so fine that they end long before the function turns back to 0 on the left.
TEST(CodeCurve, KnowsANarrowRange) {
  for (const Activation activation : {Activation::Silu, Activation::Gelu, Activation::Mish}) {
    for (const float inverse_scale : {2000.0f, 1e5f}) {
      const Epilogue e = smooth(activation, inverse_scale, 100);
      ASSERT_NE(e.curve, nullptr) << name(activation) << " " << inverse_scale;
      EXPECT_GT(e.curve->safe_distance, 0.498f) << name(activation) << " " << inverse_scale;
      EXPECT_TRUE(std::isinf(e.curve->known_from) || finish_code(e, e.curve->known_from * 1.01f) == 0);
      int64_t unsure = 0;
      for (int step = -30000; step <= 30000; ++step)
        expect_same_codes(e, static_cast<float>(step) * 0.02f / inverse_scale, unsure);
      EXPECT_LT(unsure, 300);
    }
  }
}

TEST(CodeCurve, IsNotMadeOfKinksAndAbsurdScales) {
  EXPECT_EQ(make_code_curve(Activation::Relu, 0, 0, 1, 0, 255), nullptr);
  EXPECT_EQ(make_code_curve(Activation::HardSwish, 0, 0, 1, 0, 255), nullptr);
  EXPECT_EQ(make_code_curve(Activation::Silu, 0, 0, 0, 0, 255), nullptr);
  EXPECT_EQ(make_code_curve(Activation::Silu, 0, 0, std::numeric_limits<float>::quiet_NaN(), 0, 255),
            nullptr);
  EXPECT_EQ(make_code_curve(Activation::Silu, 0, 0, 1e-10f, 0, 255), nullptr);
}

}  // namespace
}  // namespace kvant::backends::cpu
