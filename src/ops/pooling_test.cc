// SPDX-License-Identifier: Apache-2.0
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

ir::Attributes window(Ints kernel, Ints strides = {}, Ints pads = {}, int64_t ceil_mode = 0) {
  return {{"kernel_shape", kernel}, {"strides", strides}, {"pads", pads}, {"ceil_mode", ceil_mode}};
}

TEST(MaxPool, ValuesAndIndices) {
  const auto y = run_op("MaxPool", window({2, 2}), {ramp({1, 2, 2, 3})}, 2);
  expect_near(y[0], {1, 2, 1, 2}, {4, 5, 10, 11});
  EXPECT_EQ(y[1], Tensor::of<int64_t>({1, 2, 1, 2}, {4, 5, 10, 11}));
}

TEST(MaxPool, ColumnMajorIndices) {
  ir::Attributes attributes = window({2, 2});
  attributes.set("storage_order", int64_t{1});
  EXPECT_EQ(run_op("MaxPool", attributes, {ramp({1, 1, 2, 3})}, 2)[1],
            Tensor::of<int64_t>({1, 1, 1, 2}, {3, 5}));
}

TEST(MaxPool, PaddingNeverWins) {
  const Tensor x = Tensor::of<float>({1, 1, 2}, {-5, -7});
  expect_near(run_op("MaxPool", window({2}, {1}, {1, 1}), {x})[0], {1, 1, 3}, {-5, -5, -7});
  const Tensor codes = Tensor::of<int8_t>({1, 1, 2}, {-128, 3});
  EXPECT_EQ(run_op("MaxPool", window({2}, {1}, {1, 0}), {codes})[0],
            Tensor::of<int8_t>({1, 1, 2}, {-128, 3}));
  // A dilated window that meets only padding.
  ir::Attributes dilated = window({2}, {1}, {1, 1});
  dilated.set("dilations", Ints{2});
  expect_near(run_op("MaxPool", dilated, {Tensor::of<float>({1, 1, 1}, {3})})[0], {1, 1, 1}, {-kInfinity});
}

TEST(MaxPool, CeilModeTakesTheRestButNoWindowOfPaddingAlone) {
  expect_near(run_op("MaxPool", window({2}, {2}, {}, 1), {ramp({1, 1, 5})})[0], {1, 1, 3}, {1, 3, 4});
  expect_near(run_op("MaxPool", window({2}, {2}, {}, 0), {ramp({1, 1, 5})})[0], {1, 1, 2}, {1, 3});
  // A fourth window would start behind the input.
  expect_near(run_op("MaxPool", window({1}, {2}, {0, 1}, 1), {ramp({1, 1, 3})})[0], {1, 1, 2}, {0, 2});
}

TEST(MaxPool, Refuses) {
  const Tensor x = ramp({1, 1, 4, 4});
  EXPECT_THAT(refusal("MaxPool", window({2}), {x}),
              HasSubstr("the window has 1 spatial axes; the input has 2"));
  EXPECT_THAT(refusal("MaxPool", window({2, 2}, {0, 1}), {x}), HasSubstr("strides holds 0"));
  EXPECT_THAT(refusal("MaxPool", window({5, 5}), {x}), HasSubstr("does not fit"));
  EXPECT_THAT(refusal("MaxPool", window({0, 1}), {x}), HasSubstr("kernel_shape holds 0"));
  EXPECT_THAT(refusal("MaxPool", window({1, 1, 1, 1}), {x}), HasSubstr("kernel_shape has 4 entries"));
  EXPECT_THAT(refusal("MaxPool", window({1 << 20, 1 << 20}), {x}), HasSubstr("the volume of kernel_shape"));
}

TEST(AveragePool, CountsPaddingOnlyWhenTold) {
  ir::Attributes attributes = window({2}, {1}, {1, 0});
  expect_near(run_op("AveragePool", attributes, {ramp({1, 1, 3}, 2)})[0], {1, 1, 3}, {2, 2.5, 3.5});
  attributes.set("count_include_pad", int64_t{1});
  expect_near(run_op("AveragePool", attributes, {ramp({1, 1, 3}, 2)})[0], {1, 1, 3}, {1, 2.5, 3.5});
}

TEST(AveragePool, CeilModeCountsNothingBehindTheDeclaredPadding) {
  ir::Attributes attributes = window({3}, {2}, {0, 1}, 1);
  attributes.set("count_include_pad", int64_t{1});
  // The last window covers element 4, one declared padding and one place that does not exist.
  expect_near(run_op("AveragePool", attributes, {ramp({1, 1, 5}, 1)})[0], {1, 1, 3}, {2, 4, 2.5});
}

TEST(AveragePool, Dilated) {
  ir::Attributes attributes = window({2, 2});
  attributes.set("dilations", Ints{2, 2});
  expect_near(run_op("AveragePool", attributes, {ramp({1, 1, 3, 3})})[0], {1, 1, 1, 1}, {4});
}

TEST(LpPool, Norm) {
  const Tensor x = Tensor::of<float>({1, 1, 3}, {3, -4, 0});
  expect_near(run_op("LpPool", {{"kernel_shape", Ints{2}}}, {x})[0], {1, 1, 2}, {5, 4});
  expect_near(run_op("LpPool", {{"kernel_shape", Ints{2}}, {"p", int64_t{1}}}, {x})[0], {1, 1, 2}, {7, 4});
  EXPECT_THAT(refusal("LpPool", {{"kernel_shape", Ints{2}}, {"p", int64_t{0}}}, {x}), HasSubstr("p holds 0"));
}

TEST(GlobalPools, OneValueForEachPlane) {
  const Tensor x = ramp({1, 2, 2, 2});
  expect_near(run_op("GlobalAveragePool", {}, {x})[0], {1, 2, 1, 1}, {1.5, 5.5});
  expect_near(run_op("GlobalMaxPool", {}, {x})[0], {1, 2, 1, 1}, {3, 7});
  expect_near(run_op("GlobalLpPool", {}, {Tensor::of<float>({1, 1, 2}, {3, 4})})[0], {1, 1, 1}, {5});
  EXPECT_THAT(refusal("GlobalAveragePool", {}, {ramp({3})}), HasSubstr("GlobalAveragePool"));
}

}  // namespace
}  // namespace kvant::ops
