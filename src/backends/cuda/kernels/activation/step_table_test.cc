// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/activation/step_table.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "tensor/quantize.h"

namespace kvant::backends::cuda {
namespace {

uint8_t by_definition(const Epilogue& e, float v) {
  const float y = activate(e.activation, v, e.alpha, e.beta) * e.inverse_scale;
  const int64_t q = static_cast<int64_t>(round_even(y)) + e.out.zero_point;
  return static_cast<uint8_t>(std::clamp<int64_t>(q, e.out.low, e.out.high));
}

struct Form {
  Activation activation;
  float inverse_scale;
  CodeRange out;
};

const std::vector<Form> kForms = {
    {Activation::Silu, 60, {5, 0, 255}},           {Activation::Silu, 900, {-128 + 251, -128, 127}},
    {Activation::Silu, 8, {10, 0, 255}},           {Activation::Gelu, 40, {-128, -128, 127}},
    {Activation::Gelu, 700, {128, 0, 255}},        {Activation::GeluTanh, 50, {9, 0, 255}},
    {Activation::Sigmoid, 255, {0, 0, 255}},       {Activation::Sigmoid, 127, {0, -128, 127}},
    {Activation::Tanh, 127, {0, -128, 127}},       {Activation::Tanh, 128, {128, 0, 255}},
    {Activation::HardSwish, 30, {12, 0, 255}},     {Activation::HardSigmoid, 255, {0, 0, 255}},
    {Activation::Mish, 33, {11, 0, 255}},          {Activation::Softplus, 20, {0, 0, 255}},
    {Activation::LeakyRelu, 11, {-20, -128, 127}}, {Activation::Elu, 25, {25, 0, 255}},
    {Activation::Clip, 40, {3, 0, 200}},           {Activation::Relu, 12, {0, 0, 255}},
};

TEST(StepTable, CodesAreTheDefinitionsAtRandomFloatsAndAroundEveryStep) {
  Random random(3);
  for (const Form& form : kForms) {
    Epilogue e;
    e.output = form.out.low < 0 ? Code::I8 : Code::U8;
    e.activation = form.activation;
    e.alpha = form.activation == Activation::Clip ? -1.0f : 0.2f;
    e.beta = form.activation == Activation::Clip ? 4.0f : 0.5f;
    e.inverse_scale = form.inverse_scale;
    e.out = form.out;
    StepTable table;
    ASSERT_TRUE(make_step_table(e, table)) << name(form.activation) << ' ' << form.inverse_scale;
    EXPECT_GT(table.count, 10);
    int wrong = 0;
    const auto check = [&](float v) { wrong += code_by_steps(table, v) != by_definition(e, v); };
    for (int i = 0; i < 100000; ++i) check(random.uniform(-9.0f, 9.0f));
    for (int i = 0; i < 100000; ++i) {
      const float any = std::bit_cast<float>(static_cast<uint32_t>(random.next()));
      if (std::isfinite(any)) check(any);
    }
    for (int i = 0; i < table.count; ++i) {
      float below = table.from[i], above = below;
      for (int k = 0; k < 100; ++k) {
        check(below), check(above);
        below = std::nextafter(below, -1e30f), above = std::nextafter(above, 1e30f);
      }
    }
    for (const float v : {0.0f, -0.0f, 1e-40f, -1e-40f, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()})
      check(v);
    EXPECT_EQ(wrong, 0) << name(form.activation) << ' ' << form.inverse_scale;
  }
}

TEST(StepTable, NoneWithoutActivationOrCodes) {
  StepTable table;
  Epilogue e;
  EXPECT_FALSE(make_step_table(e, table));
  e.activation = Activation::Silu;
  e.output = Code::F32;
  EXPECT_FALSE(make_step_table(e, table));
}

}  // namespace
}  // namespace kvant::backends::cuda
