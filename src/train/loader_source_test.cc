// SPDX-License-Identifier: Apache-2.0
#include "train/loader_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

// Sample i is the number i; its label is i % 3.
class Numbers final : public data::DatasetReader {
 public:
  Numbers(int64_t size, bool labelled) : size_(size), labelled_(labelled) {}
  int64_t size() const override { return size_; }
  int64_t label(int64_t i) const override { return labelled_ ? i % 3 : data::kNoLabel; }
  std::string describe(int64_t i) const override { return fmt::format("number {}", i); }
  bool holds_images() const override { return false; }
  Tensor tensor(int64_t i) const override { return Tensor::vector<float>({static_cast<float>(i)}); }

 private:
  int64_t size_;
  bool labelled_;
};

data::Dataset numbers(int64_t size, bool labelled = true) {
  return {std::make_shared<Numbers>(size, labelled), "numbers"};
}

data::LoaderOptions shuffled(data::Tail tail) {
  data::LoaderOptions options;
  options.batch = 8;
  options.order = data::Order::Shuffled;
  options.tail = tail;
  options.seed = 3;
  options.threads = 2;
  return options;
}

// The rest of the epoch, one list of samples a batch; every label must be its sample's.
std::vector<std::vector<float>> rest(LoaderSource& source) {
  std::vector<std::vector<float>> batches;
  while (const std::optional<LabelledBatch> batch = source.next()) {
    const auto samples = batch->images.data<float>();
    batches.emplace_back(samples.begin(), samples.end());
    EXPECT_EQ(batch->labels.size(), samples.size());
    for (size_t i = 0; i < samples.size(); ++i)
      EXPECT_EQ(batch->labels[i], static_cast<int64_t>(samples[i]) % 3);
  }
  return batches;
}

TEST(LoaderSource, CountsWhatAnEpochHolds) {
  LoaderSource keeping(numbers(21), shuffled(data::Tail::Keep));
  EXPECT_EQ(keeping.batches(), 3);
  EXPECT_EQ(keeping.images(), 21);
  EXPECT_EQ(rest(keeping).back().size(), 5u);
  LoaderSource dropping(numbers(21), shuffled(data::Tail::Drop));
  EXPECT_EQ(dropping.batches(), 2);
  EXPECT_EQ(dropping.images(), 16);
  EXPECT_EQ(rest(dropping).size(), 2u);
}

TEST(LoaderSource, EpochsFollowEachOtherWithoutEnd) {
  data::LoaderOptions options = shuffled(data::Tail::Keep);
  options.epochs = 1;
  LoaderSource source(numbers(21), options);
  std::vector<std::vector<std::vector<float>>> epochs;
  for (int epoch = 0; epoch < 4; ++epoch) {
    source.seek(epoch, 0);
    epochs.push_back(rest(source));
    ASSERT_EQ(epochs.back().size(), 3u);
  }
  EXPECT_NE(epochs[0], epochs[1]) << "each epoch is shuffled anew";
}

TEST(LoaderSource, TheSamePlaceIsTheSameBatch) {
  LoaderSource source(numbers(40), shuffled(data::Tail::Drop));
  source.seek(0, 0);
  const auto first = rest(source);
  source.seek(1, 0);
  const auto second = rest(source);
  // Back, forward into the middle, and a source that starts there.
  source.seek(0, 0);
  EXPECT_EQ(rest(source), first);
  const std::vector<std::vector<float>> tail(second.begin() + 3, second.end());
  source.seek(1, 3);
  EXPECT_EQ(rest(source), tail);
  LoaderSource fresh(numbers(40), shuffled(data::Tail::Drop));
  fresh.seek(1, 3);
  EXPECT_EQ(rest(fresh), tail);
  // Seeking to where it is already, in the middle of an epoch.
  fresh.seek(0, 0);
  ASSERT_TRUE(fresh.next());
  fresh.seek(0, 1);
  EXPECT_EQ(rest(fresh), std::vector(first.begin() + 1, first.end()));
}

TEST(LoaderSource, IdentityTellsRunsApart) {
  const auto identity = [](int64_t size, const data::LoaderOptions& options) {
    return LoaderSource(numbers(size), options).identity();
  };
  const data::LoaderOptions options = shuffled(data::Tail::Drop);
  const std::string here = identity(40, options);
  EXPECT_EQ(identity(40, options), here);
  EXPECT_NE(identity(41, options), here);
  data::LoaderOptions other = options;
  other.batch = 4;
  EXPECT_NE(identity(40, other), here);
  other = options;
  other.seed = 4;
  EXPECT_NE(identity(40, other), here);
  other = options;
  other.threads = 1;
  other.ahead = 1;
  EXPECT_EQ(identity(40, other), here) << "threads do not change the batches";
}

TEST(LoaderSource, UnlabelledDataSaySo) {
  LoaderSource unlabelled(numbers(8, false), shuffled(data::Tail::Keep));
  EXPECT_FALSE(unlabelled.labelled());
  const auto batch = unlabelled.next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_GT(batch->images.dim(0), 0);
  EXPECT_TRUE(batch->labels.empty());
  EXPECT_TRUE(LoaderSource(numbers(8), shuffled(data::Tail::Keep)).labelled());
}

}  // namespace
}  // namespace kvant::train
