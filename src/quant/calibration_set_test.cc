// SPDX-License-Identifier: Apache-2.0
#include "quant/calibration_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace kvant::quant {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Samples 0, 1, 2 ... in batches of the given sizes, two inputs each: the number, and its square.
std::vector<std::vector<Tensor>> numbered(const std::vector<int64_t>& sizes) {
  std::vector<std::vector<Tensor>> batches;
  float next = 0;
  for (const int64_t size : sizes) {
    Tensor a(DType::Float32, {size, 1}), b(DType::Float32, {size, 2});
    for (int64_t i = 0; i < size; ++i, ++next) {
      a.mutable_data<float>()[static_cast<size_t>(i)] = next;
      b.mutable_data<float>()[static_cast<size_t>(2 * i + 1)] = next * next;
    }
    batches.push_back({a, b});
  }
  return batches;
}

std::vector<std::vector<float>> firsts(const BatchSource& source) {
  std::vector<std::vector<float>> result;
  while (const auto batch = source()) {
    result.push_back((*batch)[0].to_floats());
    const std::vector<float> squares = (*batch)[1].to_floats();
    for (size_t i = 0; i < result.back().size(); ++i)
      EXPECT_EQ(squares[2 * i + 1], result.back()[i] * result.back()[i]);
  }
  EXPECT_FALSE(source().has_value());  // and ever after
  return result;
}

TEST(CalibrationSet, SplitsBySampleAndKeepsTheBatchSize) {
  const CalibrationSet set = CalibrationSet::reopened([] { return batches_of(numbered({4, 4, 4, 2})); });
  EXPECT_THAT(firsts(set.open(Part::Fit)),
              ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(5, 6, 7, 8), ElementsAre(10, 11, 12, 13)));
  EXPECT_THAT(firsts(set.open(Part::HeldOut)), ElementsAre(ElementsAre(4, 9)));
  EXPECT_THAT(firsts(set.open(Part::HeldOut, false)), ElementsAre());
  EXPECT_THAT(firsts(set.open(Part::All)), ElementsAre(ElementsAre(0, 1, 2, 3), ElementsAre(4, 5, 6, 7),
                                                       ElementsAre(8, 9, 10, 11), ElementsAre(12, 13)));
}

TEST(CalibrationSet, OtherShapesStartANewBatch) {
  const CalibrationSet set = CalibrationSet::reopened([] {
    std::vector<std::vector<Tensor>> batches;
    batches.push_back({Tensor::full({2, 3}, 1)});
    batches.push_back({Tensor::full({2, 5}, 2)});
    return batches_of(std::move(batches));
  });
  const BatchSource source = set.open(Part::Fit);
  EXPECT_EQ((*source())[0].shape(), (Shape{2, 3}));
  EXPECT_EQ((*source())[0].shape(), (Shape{2, 5}));
  EXPECT_FALSE(source().has_value());
}

TEST(CalibrationSet, KeepsWhatFitsAndReadsAgainWhatDoesNot) {
  int opened = 0;
  const auto open = [&opened] {
    ++opened;
    return batches_of(numbered({4, 4}));
  };
  CalibrationSet small = CalibrationSet::reopened(open);
  small.keep(size_t{1} << 20);
  const auto once = firsts(small.open()), again = firsts(small.open());
  EXPECT_EQ(once, again);
  EXPECT_EQ(opened, 1);
  CalibrationSet large = CalibrationSet::reopened(open);
  large.keep(60);  // a batch takes 48 bytes
  EXPECT_EQ(firsts(large.open()), firsts(large.open()));
  EXPECT_EQ(opened, 3);
}

TEST(CalibrationSet, AnAbandonedPassIsNotTakenForTheWholeSet) {
  CalibrationSet set = CalibrationSet::reopened([] { return batches_of(numbered({4, 4})); });
  set.keep(size_t{1} << 20);
  ASSERT_TRUE(set.open()().has_value());
  EXPECT_EQ(firsts(set.open()).size(), 2u);
  EXPECT_EQ(firsts(set.open()).size(), 2u);
}

TEST(CalibrationSet, OnePassSourcesGoTwiceOnlyWhenKept) {
  CalibrationSet kept = batches_of(numbered({4, 4}));
  kept.keep(size_t{1} << 20);
  EXPECT_EQ(firsts(kept.open()), firsts(kept.open()));
  for (const size_t limit : {size_t{0}, size_t{60}}) {
    CalibrationSet once = batches_of(numbered({4, 4}));
    once.keep(limit);
    EXPECT_EQ(firsts(once.open()).size(), 2u);
    try {
      once.open();
      FAIL() << "a source was read twice";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("give a source that can be opened again, or fewer samples"));
    }
  }
}

}  // namespace
}  // namespace kvant::quant
