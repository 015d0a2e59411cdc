// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;

const Tensor kImage = ramp({1, 1, 3, 3});
const Tensor kOnes = Tensor::full({1, 1, 2, 2}, 1.0f);

TEST(Conv, SumsAWindow) {
  expect_near(run_op("Conv", {}, {kImage, kOnes})[0], {1, 1, 2, 2}, {8, 12, 20, 24});
}

TEST(Conv, PadsStridesAndBias) {
  const auto y = run_op("Conv", {{"pads", Ints{1, 1, 1, 1}}, {"strides", Ints{2, 2}}},
                        {kImage, kOnes, Tensor::vector<float>({10})});
  expect_near(y[0], {1, 1, 2, 2}, {10, 13, 19, 34});
}

TEST(Conv, DilationReachesOverGaps) {
  expect_near(run_op("Conv", {{"dilations", Ints{2, 2}}}, {kImage, kOnes})[0], {1, 1, 1, 1}, {16});
}

TEST(Conv, SamePaddingPutsTheOddElementWhereItSays) {
  const ir::Attributes upper{{"auto_pad", std::string("SAME_UPPER")}},
      lower{{"auto_pad", std::string("SAME_LOWER")}};
  expect_near(run_op("Conv", upper, {kImage, kOnes})[0], {1, 1, 3, 3}, {8, 12, 7, 20, 24, 13, 13, 15, 8});
  expect_near(run_op("Conv", lower, {kImage, kOnes})[0], {1, 1, 3, 3}, {0, 1, 3, 3, 8, 12, 9, 20, 24});
}

TEST(Conv, GroupsSeeTheirOwnChannels) {
  const Tensor x = Tensor::of<float>({1, 2, 1, 2}, {1, 2, 10, 20}),
               w = Tensor::of<float>({2, 1, 1, 1}, {3, 5});
  expect_near(run_op("Conv", {{"group", int64_t{2}}}, {x, w})[0], {1, 2, 1, 2}, {3, 6, 50, 100});
}

TEST(Conv, OneAndThreeSpatialAxes) {
  expect_near(run_op("Conv", {}, {ramp({1, 1, 4}), Tensor::full({1, 1, 2}, 1)})[0], {1, 1, 3}, {1, 3, 5});
  expect_near(run_op("Conv", {}, {ramp({1, 1, 2, 2, 2}), Tensor::full({1, 1, 2, 2, 2}, 1)})[0],
              {1, 1, 1, 1, 1}, {28});
}

// The blocked product against the definition, with every attribute at once.
TEST(Conv, EqualsTheDefinition) {
  Tensor x(DType::Float32, {2, 4, 9, 11}), w(DType::Float32, {6, 2, 3, 2});
  Random random(7);
  for (float& v : x.mutable_data<float>()) v = random.uniform(-1, 1);
  for (float& v : w.mutable_data<float>()) v = random.uniform(-1, 1);
  const Tensor y = run_op(
      "Conv",
      {{"group", int64_t{2}}, {"pads", Ints{2, 0, 1, 3}}, {"strides", Ints{2, 1}}, {"dilations", Ints{1, 2}}},
      {x, w})[0];
  ASSERT_EQ(y.shape(), (Shape{2, 6, 5, 12}));
  const auto xs = x.data<float>(), ws = w.data<float>(), ys = y.data<float>();
  for (int64_t i = 0; i < y.size(); ++i) {
    const int64_t ow = i % 12, oh = i / 12 % 5, k = i / 60 % 6, n = i / 360;
    double sum = 0;
    for (int64_t c = 0; c < 2; ++c)
      for (int64_t kh = 0; kh < 3; ++kh)
        for (int64_t kw = 0; kw < 2; ++kw) {
          const int64_t h = oh * 2 + kh - 2, v = ow + kw * 2;
          if (h < 0 || h >= 9 || v >= 11) continue;
          const int64_t channel = k / 3 * 2 + c;
          sum += static_cast<double>(xs[static_cast<size_t>(((n * 4 + channel) * 9 + h) * 11 + v)]) *
                 ws[static_cast<size_t>(((k * 2 + c) * 3 + kh) * 2 + kw)];
        }
    EXPECT_EQ(ys[static_cast<size_t>(i)], static_cast<float>(sum)) << i;
  }
}

TEST(Conv, UnknownDimensionsPassThrough) {
  const ir::Type x{DType::Float32, Shape{kUnknownDim, 3, kUnknownDim, 8}},
      w{DType::Float32, Shape{5, 3, 3, 3}};
  EXPECT_EQ(infer_op("Conv", {}, {x, w})[0].shape, (Shape{kUnknownDim, 5, kUnknownDim, 6}));
}

TEST(Conv, RefusesHostileAttributes) {
  const auto refuse = [](ir::Attributes a) { return refusal("Conv", std::move(a), {kImage, kOnes}); };
  EXPECT_EQ(refuse({{"strides", Ints{0, 1}}}), "strides holds 0; values from 1 to 2^31 are allowed");
  EXPECT_THAT(refuse({{"pads", Ints{-1, 0, 0, 0}}}), HasSubstr("pads holds -1"));
  EXPECT_THAT(refuse({{"pads", Ints{1}}}), HasSubstr("pads has 1 entries; 4 are needed"));
  EXPECT_THAT(refuse({{"dilations", Ints{int64_t{1} << 40, 1}}}), HasSubstr("dilations holds"));
  EXPECT_THAT(refuse({{"group", int64_t{0}}}), HasSubstr("group is 0; it must be at least 1"));
  EXPECT_THAT(refuse({{"group", int64_t{3}}}), HasSubstr("takes 1 in each of 3 groups"));
  EXPECT_THAT(refuse({{"dilations", Ints{9, 9}}}),
              HasSubstr("does not fit into spatial axis 0 of 3 elements"));
  EXPECT_THAT(refuse({{"kernel_shape", Ints{3, 3}}}),
              HasSubstr("kernel_shape says 3 for spatial axis 0; the weight has 2"));
  EXPECT_THAT(refuse({{"auto_pad", std::string("SAME")}}), HasSubstr("auto_pad is 'SAME'"));
  EXPECT_THAT(refuse({{"pads", Ints{1 << 30, 1 << 30, 1 << 30, 1 << 30}}}), HasSubstr("too large"));
  EXPECT_THAT(refusal("Conv", {}, {kImage, kOnes, Tensor::vector<float>({1, 2})}),
              HasSubstr("the bias is 2"));
  EXPECT_THAT(refusal("Conv", {}, {kImage, ramp({1, 1, 2})}), HasSubstr("4 dimensions and the weight 3"));
  EXPECT_THAT(refusal("Conv", {}, {ramp({3, 3}), ramp({1, 1})}), HasSubstr("3 to 5 dimensions"));
}

TEST(ConvTranspose, SpreadsTheKernel) {
  const Tensor x = Tensor::of<float>({1, 1, 2, 2}, {1, 2, 3, 4});
  expect_near(run_op("ConvTranspose", {}, {x, kOnes})[0], {1, 1, 3, 3}, {1, 3, 2, 4, 10, 6, 3, 7, 4});
  expect_near(run_op("ConvTranspose", {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 0, 0}}}, {x, kOnes})[0],
              {1, 1, 3, 3}, {1, 2, 2, 3, 4, 4, 3, 4, 4});
}

TEST(ConvTranspose, OutputPaddingAndShape) {
  const Tensor x = Tensor::of<float>({1, 1, 2}, {1, 2}), w = Tensor::full({1, 1, 2}, 1);
  expect_near(run_op("ConvTranspose", {{"strides", Ints{3}}, {"output_padding", Ints{1}}}, {x, w})[0],
              {1, 1, 6}, {1, 1, 0, 2, 2, 0});
  expect_near(run_op("ConvTranspose", {{"strides", Ints{3}}, {"output_shape", Ints{7}}}, {x, w})[0],
              {1, 1, 7}, {1, 1, 0, 2, 2, 0, 0});
  expect_near(run_op("ConvTranspose", {{"strides", Ints{3}}, {"output_shape", Ints{4}}}, {x, w})[0],
              {1, 1, 4}, {1, 0, 2, 2});
}

TEST(ConvTranspose, GroupsAndBias) {
  const Tensor x = Tensor::of<float>({1, 2, 1}, {2, 3}), w = Tensor::of<float>({2, 2, 1}, {1, 10, 100, 1000});
  expect_near(
      run_op("ConvTranspose", {{"group", int64_t{2}}}, {x, w, Tensor::vector<float>({1, 1, 1, 1})})[0],
      {1, 4, 1}, {3, 21, 301, 3001});
}

TEST(ConvTranspose, Refuses) {
  const Tensor x = ramp({1, 1, 2}), w = ramp({1, 1, 2});
  EXPECT_THAT(refusal("ConvTranspose", {{"pads", Ints{5, 5}}}, {x, w}), HasSubstr("leave nothing of the 3"));
  EXPECT_THAT(refusal("ConvTranspose", {{"group", int64_t{0}}}, {x, w}), HasSubstr("group holds 0"));
  EXPECT_THAT(refusal("ConvTranspose", {{"output_padding", Ints{-1}}}, {x, w}),
              HasSubstr("output_padding holds -1"));
  EXPECT_THAT(refusal("ConvTranspose", {{"output_shape", Ints{1, 2}}}, {x, w}),
              HasSubstr("output_shape has 2"));
  EXPECT_THAT(refusal("ConvTranspose", {}, {ramp({1, 2, 2}), w}),
              HasSubstr("input has 2 channels and the weight 1"));
}

TEST(ConvInteger, SubtractsZeroPoints) {
  const Tensor x = Tensor::of<uint8_t>({1, 1, 1, 3}, {10, 11, 13}),
               w = Tensor::of<int8_t>({2, 1, 1, 2}, {1, 2, 3, 4});
  const auto y = run_op("ConvInteger", {{"pads", Ints{0, 0, 0, 1}}},
                        {x, w, Tensor::scalar<uint8_t>(10), Tensor::vector<int8_t>({0, 1})});
  EXPECT_EQ(y[0], Tensor::of<int32_t>({1, 2, 1, 3}, {2, 7, 3, 3, 11, 6}));
  EXPECT_THAT(refusal("ConvInteger", {}, {x, w, Tensor::scalar<int8_t>(10)}),
              HasSubstr("x_zero_point holds i8"));
}

TEST(QLinearConv, RequantizesEachChannel) {
  const Tensor x = Tensor::of<uint8_t>({1, 1, 1, 2}, {130, 126}),
               w = Tensor::of<int8_t>({2, 1, 1, 1}, {10, -10});
  const auto y = run_op("QLinearConv", {},
                        {x, Tensor::scalar(0.5f), Tensor::scalar<uint8_t>(128), w,
                         Tensor::vector<float>({0.5f, 1.0f}), Tensor::vector<int8_t>({0, 0}),
                         Tensor::scalar(1.0f), Tensor::scalar<int8_t>(1), Tensor::vector<int32_t>({4, 0})});
  // (±2 * 10 + 4) * 0.25 + 1 and ∓20 * 0.5 + 1
  EXPECT_EQ(y[0], Tensor::of<int8_t>({1, 2, 1, 2}, {7, -3, -9, 11}));
}

}  // namespace
}  // namespace kvant::ops
