// SPDX-License-Identifier: Apache-2.0
#include "train/accuracy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "train/memory_source.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

template <class Fn>
std::string refusal(const Fn& fn) {
  try {
    fn();
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

Tensor rows(Shape shape, std::vector<float> values) { return Tensor::of<float>(std::move(shape), values); }

TEST(Accuracy, TheFirstOfEqualNumbersCounts) {
  const Tensor logits = rows({3, 3}, {0, 5, 5, -1, -2, -3, 1, 2, 3});
  EXPECT_EQ(largest(logits), (std::vector<int64_t>{1, 0, 2}));
  EXPECT_EQ(count_correct(logits, {1, 2, 2}), 2);
}

TEST(Accuracy, LabelsAndShapesThatDoNotFitAreRefused) {
  const Tensor logits = rows({1, 3}, {0, 5, 5});
  EXPECT_THAT(refusal([&] { count_correct(logits, {3}); }),
              HasSubstr("label 3 does not fit the model, whose output has 3 classes"));
  EXPECT_THAT(refusal([&] { count_correct(logits, {-1}); }), HasSubstr("label -1 does not fit"));
  EXPECT_THAT(refusal([&] {
                largest(rows({1, 3, 1}, {0, 1, 2}));
              }),
              HasSubstr("top-1 needs [batch, classes]"));
  EXPECT_THAT(refusal([&] {
                divergence_sum(logits, rows({1, 2}, {0, 1}));
              }),
              HasSubstr("the teacher's output is 1x3, the model's 1x2"));
}

TEST(Accuracy, DivergenceIsKullbackAndLeiblers) {
  const Tensor p = rows({2, 2}, {std::log(0.75f), std::log(0.25f), 1000.0f, 1000.0f});
  const Tensor q = rows({2, 2}, {0, 0, 1000.0f, 1000.0f});
  EXPECT_NEAR(divergence_sum(p, q), 0.75 * std::log(1.5) + 0.25 * std::log(0.5), 1e-6);
  EXPECT_EQ(divergence_sum(q, q), 0.0);
}

TEST(Accuracy, ScoresComeFromLabelsAndFromTheTeacher) {
  const Tensor images = rows({3, 2}, {1, 0, 0, 1, 3, 2});
  const Forward same = [](const Tensor& x) { return x; };
  const Forward flipped = [](const Tensor& x) {
    Tensor y = x;
    for (float& v : y.mutable_data<float>()) v = -v;
    return y;
  };
  MemorySource labelled(images, {0, 1, 1}, 2), bare(images, {}, 2);
  const Scores by_labels = score_over(labelled, 0, same, {}, silent_progress());
  EXPECT_NEAR(by_labels.top1, 200.0 / 3, 1e-9);
  EXPECT_EQ(by_labels.agreement, -1);
  const Scores by_teacher = score_over(bare, 0, same, same, silent_progress());
  EXPECT_EQ(by_teacher, (Scores{-1, 100, 0}));
  const Scores against = score_over(labelled, 0, same, flipped, silent_progress());
  EXPECT_EQ(against.agreement, 0);
  EXPECT_GT(against.divergence, 0.1);
}

}  // namespace
}  // namespace kvant::train
