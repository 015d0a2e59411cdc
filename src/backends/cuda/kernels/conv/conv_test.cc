// SPDX-License-Identifier: Apache-2.0
// Every tactic of convolutions in the emulator, bit for bit against the definition.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "backends/cuda/kernels/conv/conv_cases.h"
#include "backends/cuda/kernels/conv/conv_tactic.h"
#include "base/error.h"
#include "ops/run_op.h"

namespace kvant::backends::cuda {
namespace {

using emulator::Copies;
using emulator::Options;
using testing::Contains;
using testing::HasSubstr;

// Tile edges, channel tails, stems, groups, strides, dilations, batches, products of matrices.
std::vector<ConvShape> test_shapes() {
  std::vector<ConvShape> shapes = {
      conv_shape(5, 5, 3, 7, 3, 1, 1),         conv_shape(9, 9, 1, 16, 3, 1, 1),
      conv_shape(20, 22, 3, 64, 7, 2, 3),      conv_shape(8, 8, 16, 16, 3, 1, 1),
      conv_shape(7, 7, 64, 128, 3, 1, 1),      conv_shape(7, 9, 64, 96, 1, 1, 0),
      conv_shape(14, 14, 32, 48, 3, 2, 1),     conv_shape(8, 8, 24, 40, 1, 1, 0),
      conv_shape(6, 6, 5, 33, 1, 1, 0),        conv_shape(9, 8, 12, 20, 1, 2, 0),
      conv_shape(10, 10, 8, 65, 5, 1, 2),      conv_shape(12, 12, 16, 80, 3, 1, 2, 1, 2),
      conv_shape(9, 9, 6, 12, 3, 1, 1, 2),     conv_shape(9, 9, 32, 32, 3, 2, 1, 4),
      conv_shape(6, 6, 64, 96, 3, 1, 1, 2),    conv_shape(6, 7, 4, 64, 3, 1, 0, 1, 1, 3),
      conv_shape(1, 29, 67, 130, 1, 1, 0),     conv_shape(1, 1, 512, 10, 1, 1, 0),
      conv_shape(1, 70, 160, 24, 1, 1, 0),     conv_shape(3, 3, 4, 4, 3, 1, 3),
      conv_shape(10, 10, 16, 16, 3, 1, 1, 16), conv_shape(9, 11, 70, 70, 3, 2, 1, 70),
      conv_shape(9, 11, 72, 72, 3, 2, 1, 72),  conv_shape(12, 13, 20, 20, 5, 1, 2, 20, 1, 2),
      conv_shape(13, 12, 68, 68, 5, 2, 2, 68), conv_shape(12, 9, 40, 40, 7, 1, 3, 40),
      conv_shape(12, 15, 12, 12, 7, 2, 3, 12), conv_shape(11, 11, 20, 20, 3, 1, 2, 20, 2),
      conv_shape(6, 6, 8, 16, 3, 1, 1, 8),     conv_shape(6, 6, 33, 33, 2, 2, 0, 33, 1, 2),
      conv_shape(11, 11, 144, 24, 1, 1, 0),    conv_shape(4, 33, 48, 64, 3, 1, 1, 1, 1, 2),
  };
  ConvShape uneven = conv_shape(9, 9, 16, 24, 3, 1, 1);  // different sides: pads, strides, kernels, dilations
  uneven.kw = 2, uneven.stride_w = 2, uneven.top = 0, uneven.left = 2, uneven.dilation_h = 2, uneven.ho = 6,
  uneven.wo = 6;
  shapes.push_back(uneven);
  ConvShape far = conv_shape(2, 2, 16, 16, 1, 1, 0);  // whole rows and columns of border
  far.top = 2, far.left = 3, far.ho = 7, far.wo = 9;
  shapes.push_back(far);
  return shapes;
}

std::vector<std::string> tactics_of(const ConvDesc& desc) {
  std::string why;
  return conv_tactics(desc, 90, why);
}

TEST(CudaConv, EveryTacticOnEveryShape) {
  std::map<std::string, int> runs;
  uint64_t seed = 1;
  for (const ConvShape& shape : test_shapes()) {
    ConvCase test(shape, seed++);
    test.set_form(Code::U8, Code::None, Activation::None, seed % 2 == 0);
    const auto expected = test.reference();
    for (const std::string& tactic : tactics_of(test.desc)) {
      EXPECT_EQ(test.run(tactic), expected) << tactic << " on " << to_text(shape);
      ++runs[tactic];
    }
  }
  for (const ConvTactic& tactic : all_conv_tactics()) EXPECT_GT(runs[tactic.name], 0) << tactic.name;
}

TEST(CudaConv, EveryFormOfTheEpilogue) {
  struct Form {
    Code output, residual;
    Activation activation;
    bool x_signed, table = false;
  };
  const std::vector<Form> forms = {
      {Code::I8, Code::None, Activation::None, true},
      {Code::I8, Code::I8, Activation::None, true},
      {Code::U8, Code::U8, Activation::None, false},
      {Code::U8, Code::F32, Activation::None, false},
      {Code::U8, Code::I8, Activation::Silu, false},
      {Code::I8, Code::None, Activation::Gelu, true},
      {Code::U8, Code::None, Activation::HardSwish, false},
      {Code::U8, Code::None, Activation::Clip, true},
      {Code::U8, Code::U8, Activation::Sigmoid, true},
      {Code::I8, Code::F32, Activation::Tanh, false},
      {Code::F32, Code::None, Activation::None, false},
      {Code::F32, Code::F32, Activation::Relu, true},
      {Code::F32, Code::I8, Activation::LeakyRelu, true},
      {Code::I8, Code::None, Activation::None, true, true},
      {Code::U8, Code::U8, Activation::None, false, true},
      {Code::U8, Code::None, Activation::Silu, true, true},
  };
  const std::vector<ConvShape> shapes = {conv_shape(5, 5, 16, 30, 3, 1, 1),
                                         conv_shape(6, 5, 12, 12, 3, 1, 1, 12)};
  uint64_t seed = 100;
  for (const ConvShape& shape : shapes) {
    for (const Form& form : forms) {
      ConvCase test(shape, seed++);
      test.set_form(form.output, form.residual, form.activation, form.x_signed);
      if (form.table) test.set_table();
      const auto expected = test.reference();
      for (const std::string& tactic : {tactics_of(test.desc).front(), std::string("direct")})
        EXPECT_EQ(test.run(tactic), expected)
            << tactic << " on " << to_text(shape) << " form " << static_cast<int>(form.output) << ' '
            << static_cast<int>(form.residual) << ' ' << name(form.activation)
            << (form.table ? " table" : "");
    }
  }
}

TEST(CudaConv, EveryTileUnderEverySchedule) {
  const std::map<std::string, ConvShape> shape_of = {
      {"copy8", conv_shape(6, 5, 24, 40, 3, 1, 1)},
      {"copy4", conv_shape(6, 5, 20, 40, 3, 1, 1)},
      {"bytes", conv_shape(6, 5, 19, 40, 3, 1, 1)},
      {"stem_", conv_shape(12, 11, 3, 40, 7, 2, 3)},
  };
  for (const ConvTactic& tactic : all_conv_tactics()) {
    if (tactic.kind != ConvTactic::Kind::Tile && tactic.kind != ConvTactic::Kind::Stem) continue;
    const auto special = shape_of.find(tactic.name.substr(4, 5));
    ConvCase test(special != shape_of.end() ? special->second : conv_shape(5, 6, 64, 72, 3, 1, 1), 7);
    test.set_form(Code::U8, Code::U8, Activation::None, false);
    const auto expected = test.reference();
    for (const Options& options :
         {Options{Copies::Lazy, true, 1}, Options{Copies::Eager, true, 2}, Options{Copies::Random, true, 3}})
      EXPECT_EQ(test.run(tactic.name, options), expected) << tactic.name << " seed " << options.seed;
  }
}

// The definition that the tests compare with is the operator's.
TEST(CudaConv, TheDefinitionIsTheOperators) {
  ConvCase test(conv_shape(7, 6, 8, 12, 3, 2, 1, 2), 21);
  test.set_form(Code::I8, Code::U8, Activation::Silu, false);
  const ConvShape& s = test.desc.shape;
  const Epilogue& e = test.desc.epilogue;
  const auto wanted = ops::run_op(
      "QConv",
      {Tensor::of<uint8_t>({s.n, s.h, s.w, s.c}, test.x),
       Tensor::of<int8_t>({s.k, s.kh, s.kw, s.group_c()}, test.w), Tensor::vector(test.multiplier),
       Tensor::vector(test.bias), Tensor::of<uint8_t>({s.n, s.ho, s.wo, s.k}, test.residual)},
      {{"strides", std::vector<int64_t>{2, 2}},
       {"pads", std::vector<int64_t>{1, 1, 1, 1}},
       {"group", int64_t{2}},
       {"x_zero_point", int64_t{test.desc.x_zero_point}},
       {"output", std::string("i8")},
       {"activation", std::string("Silu")},
       {"inverse_scale", e.inverse_scale},
       {"y_zero_point", int64_t{e.out.zero_point}},
       {"residual_multiplier", e.residual_multiplier},
       {"residual_zero_point", int64_t{e.residual_zero_point}}});
  const auto reference = test.reference();
  ASSERT_EQ(wanted.byte_size(), reference.size());
  EXPECT_EQ(0, std::memcmp(wanted.raw(), reference.data(), reference.size()));
}

TEST(CudaConv, PitchesMakeSlices) {
  // Reads the middle 16 of 48 channels and writes the last 32 of 64.
  ConvCase test(conv_shape(5, 5, 16, 32, 1, 1, 0), 9);
  test.set_form(Code::U8, Code::None, Activation::None, false);
  const auto expected = test.reference();
  test.desc.x_pitch = 48, test.desc.y_pitch = 64;
  const DeviceBytes x(25 * 48, 0x77), y(25 * 64, 0xEE);
  for (size_t i = 0; i < 25; ++i) std::memcpy(x.data() + i * 48 + 16, &test.x[i * 16], 16);
  for (const std::string tactic : {"mma_64x64x64", "mma_bytes_64x32x64", "direct"}) {
    const DeviceBytes packed(conv_packed_bytes(test.desc, tactic));
    pack_conv(test.desc, tactic, {test.w.data(), test.multiplier.data(), test.bias.data()},
              reinterpret_cast<std::byte*>(packed.data()));
    std::memset(y.data(), 0xEE, y.size());
    const Launch launch =
        conv_launch(test.desc, tactic, {packed.data(), x.data() + 16, nullptr, y.data() + 32});
    launch.kernel->emulate(launch, {}, nullptr);
    for (size_t i = 0; i < 25; ++i) {
      EXPECT_EQ(0, std::memcmp(y.data() + i * 64 + 32, &expected[i * 32], 32)) << tactic;
      EXPECT_EQ(y.data()[i * 64 + 31], 0xEE) << tactic;
    }
  }
}

TEST(CudaConv, SameBytesOnEveryRun) {
  ConvCase test(conv_shape(5, 6, 64, 72, 3, 1, 1), 7);
  emulator::Counters first, second;
  const Options options{Copies::Random, true, 11};
  EXPECT_EQ(test.run("mma_64x64x128_k2_c4", options, &first),
            test.run("mma_64x64x128_k2_c4", options, &second));
  EXPECT_EQ(first, second);
  EXPECT_GT(first.mma, 0);
}

TEST(CudaConv, TacticsByCostAndCapability) {
  std::string why;
  const ConvCase late(conv_shape(7, 7, 512, 512, 3, 1, 1), 1),
      depthwise(conv_shape(9, 9, 64, 64, 3, 1, 1, 64), 1);
  EXPECT_THAT(conv_tactics(late.desc, 90, why), Contains("mma_64x64x128_k2_c8"));
  EXPECT_THAT(conv_tactics(late.desc, 80, why), testing::Not(Contains("mma_64x64x128_k2_c8")));
  EXPECT_EQ(conv_tactics(depthwise.desc, 80, why).front(), "depthwise_3s1");
  EXPECT_EQ(conv_tactics(late.desc, 90, why).back(), "direct");
  EXPECT_THAT(conv_tactics(late.desc, 80, why).front(), testing::MatchesRegex("mma_.*_s[48]"))
      << "few tiles and no clusters: blocks share a tile through global memory";
}

TEST(CudaConv, Refusals) {
  const ConvCase test(conv_shape(5, 5, 3, 8, 3, 1, 1), 1);
  const auto refusal = [&](std::string_view tactic) -> std::string {
    try {
      conv_packed_bytes(test.desc, tactic);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal("mma_64x64x65"),
              HasSubstr("no tactic 'mma_64x64x65' of convolutions (nearest: mma_64x64x64"));
  EXPECT_THAT(refusal("mma_64x64x64"), HasSubstr("3 channels of a group (pitch 3) are not multiples of 16"));
  EXPECT_THAT(refusal("depthwise_3s1"), HasSubstr("not depthwise"));
  EXPECT_THROW(kernel_named("conv_64"), Error);
}

}  // namespace
}  // namespace kvant::backends::cuda
