// SPDX-License-Identifier: Apache-2.0
// oneDNN's sums with our epilogue, bit for bit against the definition.
#include "backends/cpu/onednn_qconv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/kernels/qconv/qconv_cases.h"
#include "backends/one_node.h"

namespace kvant::backends::cpu {
namespace {

constexpr size_t kResidualInput = 4;

class OneDnnSums : public testing::Test {
 protected:
  void SetUp() override {
    if (!supports(Isa::Avx512vnni)) GTEST_SKIP() << "this CPU has no avx512vnni";
  }

  static QConvWeights weights_of(const QConvCase& c) {
    return {c.w.data(), c.multiplier.data(), c.bias.data()};
  }

  static std::vector<uint8_t> run(const QConvCase& c, int threads) {
    const ir::Node node{};
    const engine::NodeView view{node, {}, {}, {}, threads};
    const std::unique_ptr<engine::Step> step =
        onednn_qconv_load(view, c.desc, onednn_qconv_pack(c.desc, weights_of(c)), kResidualInput);
    const ConvShape& s = c.desc.shape;
    std::vector<uint8_t> y(static_cast<size_t>(s.n * s.ho * s.wo * s.k * code_bytes(c.desc.epilogue.output)),
                           0xEE);
    Tensor scratch(DType::UInt8, {static_cast<int64_t>(step->scratch_bytes()) + 64});
    std::memset(scratch.mutable_raw(), 0xA5, scratch.byte_size());
    const std::byte* inputs[kResidualInput + 1] = {};
    inputs[0] = reinterpret_cast<const std::byte*>(c.x.data());
    inputs[kResidualInput] = reinterpret_cast<const std::byte*>(c.residual.data());
    std::byte* out = reinterpret_cast<std::byte*>(y.data());
    ThreadTeam team(threads);
    step->run({inputs, std::span<std::byte* const>(&out, 1), scratch.mutable_raw(), team});
    return y;
  }

  void expect_equal(const QConvCase& c, int threads) {
    if (!onednn_qconv_why_not(c.desc, weights_of(c)).empty()) return;
    ++ran_;
    EXPECT_TRUE(run(c, threads) == c.reference()) << c.describe() << " with " << threads << " threads";
  }
  int ran_ = 0;
};

TEST_F(OneDnnSums, EqualTheDefinitionOnEveryShape) {
  uint64_t seed = 1;
  for (const ConvShape& shape : qconv_test_shapes()) {
    for (const bool x_signed : {false, true}) {
      QConvCase c(shape, ++seed);
      c.set_form(x_signed ? Code::I8 : Code::U8, Code::None, Activation::None, x_signed);
      expect_equal(c, 1);  // zero points that padding refuses are left out
      c.desc.x_zero_point = 0;
      expect_equal(c, 2);
    }
  }
  EXPECT_GT(ran_, static_cast<int>(2 * qconv_test_shapes().size()));
}

TEST_F(OneDnnSums, InEveryFormOfTheEpilogue) {
  uint64_t seed = 1000;
  for (const Code output : {Code::U8, Code::I8, Code::F32}) {
    for (const Code residual : {Code::None, Code::U8, Code::I8, Code::F32}) {
      for (const Activation activation :
           {Activation::None, Activation::Silu, Activation::HardSwish, Activation::Elu}) {
        QConvCase c(conv_shape(5, 6, 12, 107, 1, 1, 0), ++seed);
        c.set_form(output, residual, activation, seed % 2 == 0);
        expect_equal(c, 2);
        if (output == Code::F32) continue;
        c.set_table();
        expect_equal(c, 2);
      }
    }
  }
  EXPECT_EQ(ran_, 16 + 2 * 32);
}

// Sums beyond 2^24 are rounded when they become floats, here as there once.
TEST_F(OneDnnSums, LargestSums) {
  for (const ConvShape& shape : {conv_shape(3, 3, 512, 48, 3, 1, 1), conv_shape(1, 9, 2048, 64, 1, 1, 0)}) {
    QConvCase c(shape, 7);
    c.set_form(Code::F32, Code::None, Activation::None, false);
    c.desc.x_zero_point = 0;
    c.make_extreme();
    for (float& m : c.multiplier) m = 1.0f;
    expect_equal(c, 2);
  }
  EXPECT_EQ(ran_, 2);
}

TEST_F(OneDnnSums, RefuseWhatWouldNotBeExact) {
  QConvCase c(conv_shape(3, 3, 512, 48, 3, 1, 1), 7);
  c.desc.x_zero_point = 9;
  EXPECT_EQ(onednn_qconv_why_not(c.desc, weights_of(c)), "oneDNN pads with 0, which is not the zero point");
  c.desc.x_zero_point = 0;
  EXPECT_EQ(onednn_qconv_why_not(c.desc, weights_of(c)), "");
  c.desc.x_signed = true;
  c.make_extreme();
  EXPECT_EQ(onednn_qconv_why_not(c.desc, weights_of(c)), "sums may be too large to be exact in float");
  const ir::Node node{};
  const engine::NodeView view{node, {}, {}, {}, 1};
  try {
    onednn_qconv_load(view, c.desc, Tensor(DType::UInt8, {64}), kResidualInput);
    ADD_FAILURE() << "packed weights of another size were taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("64 bytes of packed weights where tactic"));
  }
}

}  // namespace
}  // namespace kvant::backends::cpu
