// SPDX-License-Identifier: Apache-2.0
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using Ints = std::vector<int64_t>;
using ::testing::HasSubstr;

std::optional<Tensor> scales(std::initializer_list<float> values) { return Tensor::vector<float>(values); }
std::optional<Tensor> sizes(std::initializer_list<int64_t> values) { return Tensor::vector<int64_t>(values); }
ir::Attributes mode(const std::string& mode, const std::string& coordinates = "half_pixel") {
  return {{"mode", mode}, {"coordinate_transformation_mode", coordinates}};
}
const Tensor kLine = Tensor::vector<float>({1, 2, 3, 4});

TEST(Resize, NearestModes) {
  // Halving with half_pixel puts every coordinate at k + 0.5.
  for (const std::string name : {"round_prefer_floor", "floor", "round_prefer_ceil", "ceil"}) {
    SCOPED_TRACE(name);
    const bool up = name == "ceil" || name == "round_prefer_ceil";
    const auto y = run_op("Resize", {{"nearest_mode", name}}, {ramp({8}), {}, scales({0.5f})});
    expect_near(y[0], {4}, up ? std::vector<float>{1, 3, 5, 7} : std::vector<float>{0, 2, 4, 6});
  }
}

TEST(Resize, NearestDoubles) {
  const ir::Attributes attributes{{"coordinate_transformation_mode", std::string("asymmetric")},
                                  {"nearest_mode", std::string("floor")}};
  expect_near(run_op("Resize", attributes, {Tensor::of<float>({1, 2}, {1, 2}), {}, scales({2, 2})})[0],
              {2, 4}, {1, 1, 2, 2, 1, 1, 2, 2});
  EXPECT_EQ(run_op("Resize", attributes, {Tensor::of<uint8_t>({2}, {7, 9}), {}, {}, sizes({4})})[0],
            Tensor::vector<uint8_t>({7, 7, 9, 9}));
}

TEST(Resize, LinearInEachCoordinateMode) {
  const std::pair<std::string, std::vector<float>> kCases[] = {{"half_pixel", {1, 1.25f, 1.75f, 2}},
                                                               {"pytorch_half_pixel", {1, 1.25f, 1.75f, 2}},
                                                               {"align_corners", {1, 4 / 3.0f, 5 / 3.0f, 2}},
                                                               {"asymmetric", {1, 1.5f, 2, 2}}};
  for (const auto& [name, wanted] : kCases) {
    SCOPED_TRACE(name);
    expect_near(run_op("Resize", mode("linear", name), {Tensor::vector<float>({1, 2}), {}, scales({2})})[0],
                {4}, wanted);
  }
  expect_near(run_op("Resize", mode("linear", "pytorch_half_pixel"), {kLine, {}, {}, sizes({1})})[0], {1},
              {1});
}

TEST(Resize, HalfPixelSymmetricCentresWhatTheRoundingLeft) {
  // 4 * 0.6 = 2.4 elements, of which 2 are made, centred.
  expect_near(run_op("Resize", mode("linear", "half_pixel_symmetric"), {kLine, {}, scales({0.6f})})[0], {2},
              {1.6666667f, 3.3333333f});
}

TEST(Resize, CubicHitsTheElementsAndIsExactOnLines) {
  ir::Attributes attributes = mode("cubic", "align_corners");
  const auto y = run_op("Resize", attributes, {ramp({8}), {}, {}, sizes({15})});
  EXPECT_NEAR(y[0].to_floats()[6], 3, 1e-6);
  attributes.set("cubic_coeff_a", -0.5f);  // Catmull-Rom reproduces straight lines away from the edges
  EXPECT_NEAR(run_op("Resize", attributes, {ramp({8}), {}, {}, sizes({15})})[0].to_floats()[7], 3.5, 1e-6);
}

TEST(Resize, ExcludeOutsideRenormalizes) {
  ir::Attributes attributes = mode("cubic");
  attributes.set("exclude_outside", int64_t{1});
  // A constant stays constant only if the weights still sum to 1.
  expect_near(run_op("Resize", attributes, {Tensor::full({3}, 2), {}, scales({2})})[0], {6},
              {2, 2, 2, 2, 2, 2});
}

TEST(Resize, AntialiasAveragesWhenShrinking) {
  ir::Attributes attributes = mode("linear");
  attributes.set("antialias", int64_t{1});
  // The tent of radius 2 at 0.5 and 2.5; outside it repeats the edge.
  expect_near(run_op("Resize", attributes, {kLine, {}, scales({0.5f})})[0], {2}, {1.625f, 3.375f});
}

TEST(Resize, CropUsesTheRegionAndExtrapolates) {
  ir::Attributes attributes = mode("linear", "tf_crop_and_resize");
  attributes.set("extrapolation_value", 10.0f);
  const Tensor roi = Tensor::vector<float>({0.0f, 1.5f});
  expect_near(run_op("Resize", attributes, {Tensor::vector<float>({1, 2, 3}), roi, {}, sizes({4})})[0], {4},
              {1, 2, 3, 10});
  EXPECT_THAT(refusal("Resize", attributes, {kLine, {}, {}, sizes({4})}), HasSubstr("needs the input roi"));
}

TEST(Resize, AxesAndAspectRatio) {
  ir::Attributes attributes{{"axes", Ints{2, 1}}, {"keep_aspect_ratio_policy", std::string("not_larger")}};
  EXPECT_EQ(run_op("Resize", attributes, {ramp({1, 2, 4}), {}, {}, sizes({8, 3})})[0].shape(),
            (Shape{1, 3, 6}));
  attributes.set("keep_aspect_ratio_policy", std::string("not_smaller"));
  EXPECT_EQ(run_op("Resize", attributes, {ramp({1, 2, 4}), {}, {}, sizes({8, 3})})[0].shape(),
            (Shape{1, 4, 8}));
}

TEST(Resize, Refuses) {
  EXPECT_THAT(refusal("Resize", {}, {kLine}), HasSubstr("exactly one of scales and sizes"));
  EXPECT_THAT(refusal("Resize", {}, {kLine, {}, scales({1, 2})}), HasSubstr("2 scales for 1 axes"));
  EXPECT_THAT(refusal("Resize", {}, {kLine, {}, scales({-1})}),
              HasSubstr("scale -1 is not a positive number"));
  EXPECT_THAT(refusal("Resize", {}, {kLine, {}, scales({1e30f})}), HasSubstr("far too many"));
  EXPECT_THAT(refusal("Resize", {}, {kLine, {}, {}, sizes({-1})}), HasSubstr("size -1 is out of range"));
  EXPECT_THAT(refusal("Resize", {{"axes", Ints{3}}}, {kLine, {}, scales({1})}),
              HasSubstr("axis 3 is outside"));
  EXPECT_THAT(refusal("Resize", mode("area"), {kLine, {}, scales({1})}),
              HasSubstr("mode is 'area', which is unknown"));
  EXPECT_THAT(
      refusal("Resize", {{"keep_aspect_ratio_policy", std::string("x")}}, {kLine, {}, {}, sizes({1})}),
      HasSubstr("keep_aspect_ratio_policy is 'x'"));
}

}  // namespace
}  // namespace kvant::ops
