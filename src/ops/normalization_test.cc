// SPDX-License-Identifier: Apache-2.0
// Normalisations, softmaxes and TopK.
#include "ops/op_testing.h"

namespace kvant::ops {
namespace {

using ::testing::HasSubstr;

const Tensor kTwo = Tensor::vector<float>({2, 1}), kZero = Tensor::vector<float>({0, 10});

TEST(BatchNormalization, AppliesTheStatisticsOfEachChannel) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {1, 3, 4, 8}), mean = Tensor::vector<float>({1, 4});
  const auto y = run_op("BatchNormalization", {{"epsilon", 0.0f}},
                        {x, kTwo, kZero, mean, Tensor::vector<float>({4, 16})});
  expect_near(y[0], {1, 2, 2}, {0, 2, 10, 11});
}

TEST(BatchNormalization, TrainingModeUsesAndReturnsBatchStatistics) {
  const Tensor x = Tensor::of<float>({2, 2, 1}, {1, 0, 3, 8}), mean = Tensor::vector<float>({0, 0});
  const auto y =
      run_op("BatchNormalization", {{"epsilon", 0.0f}, {"momentum", 0.5f}, {"training_mode", int64_t{1}}},
             {x, kTwo, kZero, mean, Tensor::vector<float>({1, 0})}, 3);
  expect_near(y[0], {2, 2, 1}, {-2, 9, 2, 11});
  expect_near(y[1], {2}, {1, 2});
  expect_near(y[2], {2}, {1, 8});
}

TEST(BatchNormalization, RefusesWrongCounts) {
  const Tensor x = ramp({1, 3, 2});
  EXPECT_THAT(refusal("BatchNormalization", {}, {x, kTwo, kZero, kZero, kTwo}),
              HasSubstr("BatchNormalization: scale is 2; it must hold one value for each of 3 channels"));
}

TEST(InstanceNormalization, EachPlane) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {1, 3, 10, 10});
  expect_near(run_op("InstanceNormalization", {{"epsilon", 1e-9f}}, {x, kTwo, kZero})[0], {1, 2, 2},
              {-2, 2, 10, 10});
}

TEST(GroupNormalization, GroupsThenChannels) {
  const Tensor x = Tensor::of<float>({1, 2, 2}, {1, 1, 3, 3});
  expect_near(
      run_op("GroupNormalization", {{"num_groups", int64_t{1}}, {"epsilon", 0.0f}}, {x, kTwo, kZero})[0],
      {1, 2, 2}, {-2, -2, 11, 11});
  EXPECT_THAT(refusal("GroupNormalization", {{"num_groups", int64_t{0}}}, {x, kTwo, kZero}),
              HasSubstr("into 0 groups"));
  EXPECT_THAT(refusal("GroupNormalization", {{"num_groups", int64_t{3}}}, {x, kTwo, kZero}),
              HasSubstr("into 3 groups"));
}

TEST(LayerNormalization, StatisticsAreOutputsToo) {
  const Tensor x = Tensor::of<float>({2, 2}, {1, 3, 5, 5});
  const auto y = run_op("LayerNormalization", {{"epsilon", 1.0f}}, {x, kTwo, kZero}, 3);
  const float r = std::sqrt(0.5f);
  expect_near(y[0], {2, 2}, {-2 * r, 10 + r, 0, 10});
  expect_near(y[1], {2, 1}, {2, 5});
  expect_near(y[2], {2, 1}, {r, 1});
  expect_near(run_op("LayerNormalization", {{"axis", int64_t{0}}, {"epsilon", 0.0f}},
                     {x, Tensor::scalar(1.0f)}, 2)[1],
              {1, 1}, {3.5});
  EXPECT_THAT(refusal("LayerNormalization", {{"axis", int64_t{2}}}, {x, kTwo}),
              HasSubstr("axis 2 is outside"));
  EXPECT_THAT(refusal("LayerNormalization", {}, {x, ramp({3, 2})}), HasSubstr("LayerNormalization"));
}

TEST(RmsNormalization, DividesByTheRootMeanSquare) {
  const Tensor x = Tensor::of<float>({1, 2}, {3, 4});
  const float rms = std::sqrt(12.5f);
  expect_near(run_op("RMSNormalization", {{"epsilon", 0.0f}}, {x, kTwo})[0], {1, 2}, {6 / rms, 4 / rms});
}

TEST(LpNormalization, ZeroStaysZero) {
  const Tensor x = Tensor::of<float>({2, 2}, {3, -4, 0, 0});
  expect_near(run_op("LpNormalization", {}, {x})[0], {2, 2}, {0.6f, -0.8f, 0, 0});
  expect_near(run_op("LpNormalization", {{"p", int64_t{1}}, {"axis", int64_t{0}}}, {x})[0], {2, 2},
              {1, -1, 0, 0});
  EXPECT_EQ(refusal("LpNormalization", {{"p", int64_t{3}}}, {x}),
            "LpNormalization: p is 3; it must be 1 or 2 (by the type rule only)");
}

TEST(Lrn, WindowOverChannels) {
  const Tensor x = Tensor::of<float>({1, 3, 1}, {1, 2, 3});
  const auto y = run_op("LRN", {{"size", int64_t{2}}, {"alpha", 2.0f}, {"beta", 1.0f}, {"bias", 1.0f}}, {x});
  expect_near(y[0], {1, 3, 1}, {1 / 6.0f, 2 / 14.0f, 3 / 10.0f});
  EXPECT_THAT(refusal("LRN", {{"size", int64_t{0}}}, {x}), HasSubstr("size holds 0"));
}

TEST(MeanVarianceNormalization, AxesOfTheAttribute) {
  const Tensor x = Tensor::of<float>({1, 2, 1, 2}, {1, 3, 5, 5});
  expect_near(run_op("MeanVarianceNormalization", {}, {x})[0], {1, 2, 1, 2}, {-1, 1, 0, 0});
  EXPECT_THAT(refusal("MeanVarianceNormalization", {{"axes", std::vector<int64_t>{4}}}, {x}),
              HasSubstr("axis 4"));
}

TEST(Softmax, SumsToOneAndDoesNotOverflow) {
  const Tensor x = Tensor::of<float>({2, 2}, {1000, 1000, 0, std::log(3.0f)});
  expect_near(run_op("Softmax", {}, {x})[0], {2, 2}, {0.5f, 0.5f, 0.25f, 0.75f});
  expect_near(run_op("LogSoftmax", {}, {x})[0], {2, 2},
              {-0.6931472f, -0.6931472f, std::log(0.25f), std::log(0.75f)});
  expect_near(run_op("Softmax", {{"axis", int64_t{0}}}, {x})[0], {2, 2}, {1, 1, 0, 0});
  EXPECT_THAT(refusal("Softmax", {{"axis", int64_t{-3}}}, {x}), HasSubstr("axis -3 is outside"));
}

TEST(Hardmax, FirstOfEquals) {
  expect_near(run_op("Hardmax", {}, {Tensor::of<float>({2, 3}, {1, 3, 3, 0, -1, -2})})[0], {2, 3},
              {0, 1, 0, 1, 0, 0});
}

TEST(TopK, OrderAndTies) {
  const Tensor x = Tensor::of<float>({2, 3}, {1, 5, 5, 7, 0, 8}), k = Tensor::vector<int64_t>({2});
  auto y = run_op("TopK", {}, {x, k}, 2);
  expect_near(y[0], {2, 2}, {5, 5, 8, 7});
  EXPECT_EQ(y[1], Tensor::of<int64_t>({2, 2}, {1, 2, 2, 0}));
  y = run_op("TopK", {{"largest", int64_t{0}}, {"axis", int64_t{0}}}, {x, Tensor::vector<int64_t>({1})}, 2);
  expect_near(y[0], {1, 3}, {1, 0, 5});
  EXPECT_EQ(y[1], Tensor::of<int64_t>({1, 3}, {0, 1, 0}));
  EXPECT_EQ(refusal("TopK", {}, {x, Tensor::vector<int64_t>({4})}), "TopK: K is 4; axis 1 has 3 elements");
}

TEST(NonMaxSuppression, KeepsTheBestOfEachCluster) {
  const Tensor boxes = Tensor::of<float>({1, 3, 4}, {0, 0, 1, 1, 0, 0.1f, 1, 1.1f, 0, 10, 1, 11});
  const Tensor scores = Tensor::of<float>({1, 1, 3}, {0.8f, 0.9f, 0.5f});
  const auto y =
      run_op("NonMaxSuppression", {},
             {boxes, scores, Tensor::scalar<int64_t>(3), Tensor::scalar(0.5f), Tensor::scalar(0.4f)});
  EXPECT_EQ(y[0], Tensor::of<int64_t>({2, 3}, {0, 0, 1, 0, 0, 2}));
  EXPECT_THAT(refusal("NonMaxSuppression", {}, {boxes, ramp({1, 1, 2})}), HasSubstr("scores is 1x1x2"));
}

}  // namespace
}  // namespace kvant::ops
