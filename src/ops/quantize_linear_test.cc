// SPDX-License-Identifier: Apache-2.0
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

const Tensor kX = Tensor::of<float>({2, 3}, {-1, 0, 0.5f, 1.5f, 100, 2.5f});

TEST(QuantizeLinear, PerTensorRoundsHalfToEvenAndSaturates) {
  const auto y = run_op("QuantizeLinear", {}, {kX, Tensor::scalar(1.0f), Tensor::scalar<int8_t>(1)});
  EXPECT_EQ(y[0], Tensor::of<int8_t>({2, 3}, {0, 1, 1, 3, 101, 3}));
  EXPECT_EQ(run_op("QuantizeLinear", {}, {kX, Tensor::scalar(0.25f)})[0],
            Tensor::of<uint8_t>({2, 3}, {0, 0, 2, 6, 255, 10}));
}

TEST(QuantizeLinear, PerAxis) {
  const Tensor scale = Tensor::vector<float>({1, 0.5f}), zero = Tensor::vector<uint16_t>({10, 0});
  EXPECT_EQ(run_op("QuantizeLinear", {{"axis", int64_t{0}}}, {kX, scale, zero})[0],
            Tensor::of<uint16_t>({2, 3}, {9, 10, 10, 3, 200, 5}));
  EXPECT_EQ(run_op("QuantizeLinear", {{"axis", int64_t{-2}}}, {kX, scale, zero})[0].dtype(), DType::UInt16);
}

TEST(QuantizeLinear, BlocksAlongTheAxis) {
  const Tensor scale = Tensor::of<float>({2, 2}, {1, 0.5f, 0.25f, 10});
  const Tensor zero = Tensor::of<int8_t>({2, 2}, {0, 1, 2, 3});
  const ir::Attributes blocks{{"block_size", int64_t{2}}};
  const Tensor q = run_op("QuantizeLinear", blocks, {kX, scale, zero})[0];
  EXPECT_EQ(q, Tensor::of<int8_t>({2, 3}, {-1, 0, 2, 8, 127, 3}));
  expect_near(run_op("DequantizeLinear", blocks, {q, scale, zero})[0], {2, 3},
              {-1, 0, 0.5f, 1.5f, 31.25f, 0});
  EXPECT_THAT(refusal("QuantizeLinear", {{"block_size", int64_t{1}}}, {kX, scale, zero}),
              HasSubstr("blocks of 1 along axis 1"));
}

TEST(QuantizeLinear, OutputType) {
  EXPECT_EQ(run_op("QuantizeLinear", {{"output_dtype", int64_t{5}}}, {kX, Tensor::scalar(1.0f)})[0].dtype(),
            DType::Int16);
  EXPECT_THAT(refusal("QuantizeLinear", {{"output_dtype", int64_t{22}}}, {kX, Tensor::scalar(1.0f)}),
              HasSubstr("int4 is not supported"));
  EXPECT_THAT(refusal("QuantizeLinear", {{"output_dtype", int64_t{5}}},
                      {kX, Tensor::scalar(1.0f), Tensor::scalar<int8_t>(0)}),
              HasSubstr("output_dtype is i16 but the zero point holds i8"));
}

TEST(QuantizeLinear, Refuses) {
  const Tensor three = Tensor::vector<float>({1, 1, 1});
  EXPECT_THAT(refusal("QuantizeLinear", {{"axis", int64_t{0}}}, {kX, three}),
              HasSubstr("there are 3 scales for 2 elements along axis 0 of 2x3"));
  EXPECT_THAT(refusal("QuantizeLinear", {{"axis", int64_t{7}}}, {kX, three}), HasSubstr("axis 7 is outside"));
  EXPECT_THAT(refusal("QuantizeLinear", {}, {kX, ramp({2, 2})}), HasSubstr("block_size must be set"));
  EXPECT_THAT(refusal("QuantizeLinear", {{"block_size", int64_t{-1}}}, {kX, ramp({2, 2})}),
              HasSubstr("block_size is -1"));
  EXPECT_THAT(refusal("QuantizeLinear", {}, {kX, three, Tensor::scalar<int8_t>(0)}),
              HasSubstr("the zero point is scalar, the scale 3"));
}

TEST(DequantizeLinear, TypesAndZeroPoints) {
  const Tensor q = Tensor::of<int32_t>({3}, {-2, 0, 1000000});
  expect_near(run_op("DequantizeLinear", {}, {q, Tensor::scalar(0.5f)})[0], {3}, {-1, 0, 500000});
  const Tensor codes = Tensor::of<uint8_t>({2, 1}, {0, 255}), scale = Tensor::vector<float>({2, 1});
  expect_near(run_op("DequantizeLinear", {{"axis", int64_t{0}}},
                     {codes, scale, Tensor::vector<uint8_t>({128, 1})})[0],
              {2, 1}, {-256, 254});
  EXPECT_EQ(
      run_op("DequantizeLinear", {{"output_dtype", int64_t{10}}}, {codes, Tensor::scalar(1.0f)})[0].dtype(),
      DType::Float16);
  EXPECT_THAT(refusal("DequantizeLinear", {}, {kX, Tensor::scalar(1.0f)}),
              HasSubstr("element type f32 is not supported"));
}

TEST(DynamicQuantizeLinear, RangeAlwaysHoldsZero) {
  const auto y =
      run_op("DynamicQuantizeLinear", {}, {Tensor::vector<float>({0, 2, -3, -2.5f, 1.34f, 0.5f})}, 3);
  EXPECT_EQ(y[0], Tensor::vector<uint8_t>({153, 255, 0, 26, 221, 179}));
  EXPECT_NEAR(y[1].to_floats()[0], 5.0f / 255, 1e-8);
  EXPECT_EQ(y[2], Tensor::scalar<uint8_t>(153));
  EXPECT_EQ(run_op("DynamicQuantizeLinear", {}, {Tensor::vector<float>({0, 0})}, 3)[0],
            Tensor::vector<uint8_t>({0, 0}));
}

}  // namespace
}  // namespace kvant::ops
