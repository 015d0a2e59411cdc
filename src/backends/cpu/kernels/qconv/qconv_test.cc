// SPDX-License-Identifier: Apache-2.0
// Every kernel of kernels.inc, bit for bit against a loop written from docs/lowered-ops.md; those of AVX-VNNI
// in the encoding that CPUs with AVX-512 have; and AMX's on tiles in plain C++.
#include "backends/cpu/kernels/qconv/qconv.h"

#include <gtest/gtest.h>

#include <cstring>

#include "backends/cpu/kernels/qconv/make_kernel.h"
#include "backends/cpu/kernels/qconv/qconv_cases.h"

namespace kvant::backends::cpu {

extern const DenseTiles kTiles6x16Evex;
extern const DepthwiseTiles kDepthwise32Evex;
extern const QConvKernel kQConvPortableTiles;

namespace {

const std::vector<QConvKernel>& tested_kernels() {
  static const std::vector<QConvKernel> kernels = [] {
    const std::span<const QConvKernel> all = qconv_kernels();
    std::vector<QConvKernel> result(all.begin(), all.end());
    result.push_back(depthwise<kDepthwise32Evex>("qconv_u8s8_depthwise_32_evex", Isa::Avx512vnni));
    result.push_back(dense<kTiles6x16Evex>("qconv_u8s8_6x16_evex", Isa::Avx512vnni));
    result.push_back(kQConvPortableTiles);
    return result;
  }();
  return kernels;
}

struct Forms {
  const char* name;
  Code output, residual;
  Activation activation;
};

constexpr Forms kForms[] = {
    {"u8", Code::U8, Code::None, Activation::None},
    {"i8", Code::I8, Code::None, Activation::None},
    {"u8_plus_u8", Code::U8, Code::U8, Activation::None},
    {"i8_plus_i8", Code::I8, Code::I8, Activation::None},
    {"u8_plus_f32", Code::U8, Code::F32, Activation::None},
    {"f32", Code::F32, Code::None, Activation::None},
    {"f32_plus_u8_relu", Code::F32, Code::U8, Activation::Relu},
    {"u8_silu", Code::U8, Code::None, Activation::Silu},
    {"i8_gelu", Code::I8, Code::None, Activation::Gelu},
    {"u8_plus_i8_silu", Code::U8, Code::I8, Activation::Silu},
    {"u8_plus_f32_mish", Code::U8, Code::F32, Activation::Mish},
    {"f32_silu", Code::F32, Code::None, Activation::Silu},
    {"i8_sigmoid", Code::I8, Code::None, Activation::Sigmoid},
    {"i8_plus_i8_hardswish", Code::I8, Code::I8, Activation::HardSwish},
    {"u8_clip", Code::U8, Code::None, Activation::Clip},
    {"u8_plus_u8_leaky", Code::U8, Code::U8, Activation::LeakyRelu},
    {"i8_hardsigmoid", Code::I8, Code::None, Activation::HardSigmoid},
    {"u8_hardswish", Code::U8, Code::None, Activation::HardSwish},
    {"u8_plus_u8_hardsigmoid", Code::U8, Code::U8, Activation::HardSigmoid},
    {"i8_leaky", Code::I8, Code::None, Activation::LeakyRelu},
    {"i8_plus_u8_relu", Code::I8, Code::U8, Activation::Relu},
    {"u8_plus_f32_hardswish", Code::U8, Code::F32, Activation::HardSwish},
};

class QConvKernels : public testing::TestWithParam<size_t> {
 protected:
  const QConvKernel& kernel() const { return tested_kernels()[GetParam()]; }
  void SetUp() override {
    if (!supports(kernel().isa)) GTEST_SKIP() << "this CPU has no " << name(kernel().isa);
  }
  void expect_equal(const QConvCase& c, int threads) {
    if (!kernel().why_not(c.desc).empty()) return;
    ++ran_;
    const std::vector<uint8_t> expected = c.reference();
    const std::vector<uint8_t> actual = c.run(kernel(), threads);
    size_t differing = 0;
    for (size_t i = 0; i < expected.size(); ++i) differing += expected[i] != actual[i] ? 1 : 0;
    EXPECT_EQ(differing, 0u) << kernel().name << " on " << c.describe() << " with " << threads
                             << " threads, of " << expected.size() << " bytes";
  }
  int ran_ = 0;
};

TEST_P(QConvKernels, EqualsTheDefinitionOnEveryShape) {
  uint64_t seed = 1;
  for (const ConvShape& shape : qconv_test_shapes()) {
    for (const int threads : {1, 2, 3}) {
      QConvCase c(shape, ++seed);
      expect_equal(c, threads);
    }
  }
  EXPECT_GT(ran_, 10);
}

TEST_P(QConvKernels, EqualsTheDefinitionInEveryForm) {
  uint64_t seed = 1000;
  for (const Forms& form : kForms) {
    for (const ConvShape& shape : qconv_form_shapes()) {
      for (const bool x_signed : {false, true}) {
        QConvCase c(shape, ++seed);
        c.set_form(form.output, form.residual, form.activation, x_signed);
        expect_equal(c, 2);
      }
    }
  }
  EXPECT_GT(ran_, 10);
}

TEST_P(QConvKernels, CodesGoThroughATable) {
  uint64_t seed = 3000;
  for (const ConvShape& shape : qconv_test_shapes()) {
    for (const Code output : {Code::U8, Code::I8}) {
      QConvCase c(shape, ++seed);
      c.set_form(output, seed % 3 == 0 ? Code::I8 : Code::None, Activation::None, seed % 4 < 2);
      c.set_table();
      expect_equal(c, 2);
    }
  }
  EXPECT_GT(ran_, 10);
}

TEST_P(QConvKernels, ExtremeCodesAndZeroPoints) {
  uint64_t seed = 5000;
  for (const ConvShape& shape : qconv_form_shapes()) {
    for (const int32_t zero_point : {0, 1, 127, 128, 255}) {
      QConvCase c(shape, ++seed);
      c.set_form(Code::U8, Code::U8, Activation::None, false);
      c.desc.x_zero_point = zero_point;
      c.desc.epilogue.zero_point = 255 - zero_point;
      c.make_extreme();
      expect_equal(c, 1);
    }
    for (const int32_t zero_point : {-128, -1, 0, 127}) {
      QConvCase c(shape, ++seed);
      c.set_form(Code::I8, Code::I8, Activation::None, true);
      c.desc.x_zero_point = zero_point;
      c.desc.epilogue.zero_point = zero_point;
      c.make_extreme();
      expect_equal(c, 1);
    }
  }
}

TEST_P(QConvKernels, NarrowClampsAndHugeMultipliers) {
  for (const ConvShape& shape : qconv_form_shapes()) {
    QConvCase c(shape, 77);
    c.set_form(Code::I8, Code::None, Activation::None, false);
    c.desc.epilogue.zero_point = -100;
    c.desc.epilogue.low = -100;
    c.desc.epilogue.high = -3;
    expect_equal(c, 1);
    for (float& m : c.multiplier) m *= 1e30f;
    expect_equal(c, 1);
  }
}

// Minus infinity times the ramp's 0 is a NaN, which rounds to 0.
TEST_P(QConvKernels, InfiniteValuesThroughStraightPieces) {
  for (const Activation activation : {Activation::HardSwish, Activation::LeakyRelu, Activation::Clip}) {
    for (const ConvShape& shape : qconv_form_shapes()) {
      QConvCase c(shape, 78);
      c.set_form(Code::I8, Code::None, activation, true);
      for (float& m : c.multiplier) m = 3e33f;
      expect_equal(c, 1);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, QConvKernels, testing::Range<size_t>(0, tested_kernels().size()),
                         [](const auto& info) { return std::string(tested_kernels()[info.param].name); });

}  // namespace
}  // namespace kvant::backends::cpu
