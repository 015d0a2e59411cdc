// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::message_of;
using test::scene;
using testing::ElementsAre;
using testing::HasSubstr;

// Pictures made on the fly; one of them may be broken.
class Scenes : public DatasetReader {
 public:
  explicit Scenes(int64_t size, int64_t broken = -1) : size_(size), broken_(broken) {}
  int64_t size() const override { return size_; }
  int64_t label(int64_t i) const override { return i % 7; }
  std::string describe(int64_t i) const override { return fmt::format("scene {}", i); }
  Image image(int64_t i) const override {
    ++made_;
    if (i == broken_) fail("scene {} is broken", i);
    return scene(12, i == odd_ ? 13 : 10, 3, static_cast<int>(i));
  }
  mutable std::atomic<int64_t> made_ = 0;
  int64_t odd_ = -1;

 private:
  int64_t size_;
  int64_t broken_;
};

class Vectors : public DatasetReader {
 public:
  int64_t size() const override { return 3; }
  int64_t label(int64_t) const override { return kNoLabel; }
  std::string describe(int64_t i) const override { return fmt::format("vector {}", i); }
  bool holds_images() const override { return false; }
  Tensor tensor(int64_t i) const override { return Tensor::vector<int32_t>({static_cast<int32_t>(i), 5}); }
};

Dataset scenes(int64_t size, int64_t broken = -1) {
  return {std::make_shared<Scenes>(size, broken), "scenes"};
}

LoaderOptions options_for_training() {
  LoaderOptions options;
  options.batch = 8;
  options.order = Order::Shuffled;
  options.seed = 11;
  options.epochs = 3;
  options.preprocess = parse_preprocess("scale");
  options.augment = {.pad_crop = 2, .flip = true};
  return options;
}

std::vector<Batch> drain(Loader& loader, int64_t ends) {
  std::vector<Batch> batches;
  while (ends > 0) {
    if (auto batch = loader.next()) {
      batches.push_back(std::move(*batch));
    } else {
      --ends;
    }
  }
  return batches;
}

bool equal(const Batch& a, const Batch& b) {
  return a.samples == b.samples && a.labels == b.labels && a.indices == b.indices && a.epoch == b.epoch &&
         a.index == b.index;
}

TEST(Loader, GivesTheSameBatchesWhateverTheThreads) {
  LoaderOptions options = options_for_training();
  options.threads = 1;
  Loader one(scenes(45), options);
  const auto expected = drain(one, 3);
  ASSERT_EQ(expected.size(), 18u);
  EXPECT_FALSE(one.next().has_value());
  for (const int threads : {2, 3, 8}) {
    for (const int64_t ahead : {1, 5}) {
      options.threads = threads;
      options.ahead = ahead;
      options.cache_bytes = threads == 3 ? 0 : 2000;
      Loader many(scenes(45), options);
      const auto batches = drain(many, 3);
      ASSERT_EQ(batches.size(), expected.size());
      for (size_t i = 0; i < batches.size(); ++i) EXPECT_TRUE(equal(batches[i], expected[i])) << i;
    }
  }
}

TEST(Loader, EveryEpochHasEverySampleOnceInAnotherOrder) {
  LoaderOptions options = options_for_training();
  Loader loader(scenes(45), options);
  const auto batches = drain(loader, 3);
  std::vector<std::vector<int64_t>> orders(3);
  for (const Batch& batch : batches) {
    auto& order = orders[static_cast<size_t>(batch.epoch)];
    order.insert(order.end(), batch.indices.begin(), batch.indices.end());
    for (size_t i = 0; i < batch.indices.size(); ++i)
      EXPECT_EQ(batch.labels.data<int64_t>()[i], batch.indices[i] % 7);
  }
  EXPECT_NE(orders[0], orders[1]);
  EXPECT_NE(orders[1], orders[2]);
  for (auto& order : orders) {
    std::sort(order.begin(), order.end());
    EXPECT_EQ(order, epoch_order(45, Order::Sequential, 0, 0));
  }
  EXPECT_EQ(batches[5].size(), 5);
  EXPECT_EQ(batches[5].samples.shape(), (Shape{5, 3, 12, 10}));
}

TEST(Loader, ResumesWithTheSameBatches) {
  Loader whole(scenes(45), options_for_training());
  const auto expected = drain(whole, 3);
  Loader resumed(scenes(45), options_for_training());
  resumed.seek(1, 4);
  const auto rest = drain(resumed, 2);
  ASSERT_EQ(rest.size(), 8u);
  for (size_t i = 0; i < rest.size(); ++i) EXPECT_TRUE(equal(rest[i], expected[10 + i])) << i;
  resumed.seek(0);
  EXPECT_TRUE(equal(*resumed.next(), expected[0]));
  resumed.seek(2, 6);
  EXPECT_FALSE(resumed.next().has_value());
  EXPECT_THAT(message_of([&] { resumed.seek(0, 7); }), HasSubstr("an epoch has 6 batches"));
}

TEST(Loader, DropsTheTailWhenAsked) {
  LoaderOptions options;
  options.batch = 8;
  options.tail = Tail::Drop;
  Loader loader(scenes(45), options);
  EXPECT_EQ(loader.batches(), 5);
  EXPECT_EQ(drain(loader, 1).size(), 5u);
}

TEST(Loader, ThrowsTheFirstErrorWhenItsTurnComes) {
  for (const int threads : {1, 4}) {
    LoaderOptions options;
    options.batch = 8;
    options.threads = threads;
    Loader loader(scenes(45, 17), options);
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_TRUE(loader.next().has_value());
    EXPECT_EQ(message_of([&] { loader.next(); }), "scene 17 is broken");
    EXPECT_EQ(message_of([&] { loader.next(); }), "scene 17 is broken");
    loader.seek(0, 3);
    EXPECT_EQ(loader.next()->indices.front(), 24);
  }
  Loader first(scenes(5, 0), {});
  EXPECT_EQ(message_of([&] { first.next(); }), "scene 0 is broken");
}

TEST(Loader, RefusesSamplesThatDoNotFit) {
  LoaderOptions options;
  options.sample_shape = {3, 224, 224};
  Loader misfit(scenes(5), options);
  EXPECT_THAT(
      message_of([&] { misfit.next(); }),
      HasSubstr("scene 0 is 3x12x10 after preprocessing, but the model takes 3x224x224; set --resize"));
  const auto reader = std::make_shared<Scenes>(5);
  reader->odd_ = 3;
  Loader uneven(Dataset(reader, "scenes"), {});
  EXPECT_THAT(
      message_of([&] { uneven.next(); }),
      HasSubstr("scene 3 is 3x12x13 after preprocessing, but the first sample is 3x12x10; set --resize"));
}

TEST(Loader, RefusesOptionsOutOfRange) {
  const auto message = [](const LoaderOptions& options, int64_t size = 5) {
    return message_of([&] { Loader(scenes(size), options); });
  };
  EXPECT_EQ(message({.batch = 0}), "the batch size must be at least 1, not 0");
  EXPECT_EQ(message({.epochs = 0}), "the number of epochs must be at least 1, not 0");
  EXPECT_EQ(message({.threads = -2}), "the number of loader threads is -2, it cannot be negative");
  EXPECT_EQ(message({.ahead = 0}), "at least 1 batch must be made ahead, not 0");
  EXPECT_EQ(message({}, 0), "the data set scenes is empty");
  EXPECT_EQ(message({.batch = 8, .tail = Tail::Drop}),
            "the data set scenes has 5 samples, fewer than one batch of 8");
  EXPECT_EQ(message_of([] {
              LoaderOptions options;
              options.augment.flip = true;
              Loader(Dataset(std::make_shared<Vectors>(), "vectors"), options);
            }),
            "the data set vectors holds ready tensors, which cannot be augmented");
}

TEST(Loader, TakesTensorsAsTheyAre) {
  Loader loader(Dataset(std::make_shared<Vectors>(), "vectors"), {.batch = 2});
  EXPECT_EQ(loader.next()->samples, Tensor::of<float>({2, 2}, {0, 5, 1, 5}));
  const auto last = loader.next();
  EXPECT_EQ(last->samples, Tensor::of<float>({1, 2}, {2, 5}));
  EXPECT_THAT(last->labels.to_ints(), ElementsAre(-1));
}

TEST(Loader, DecodesCachedPicturesOnce) {
  const auto reader = std::make_shared<Scenes>(20);
  Loader loader(Dataset(reader, "scenes"), options_for_training());
  drain(loader, 3);
  EXPECT_EQ(reader->made_, 20);
  const auto without = std::make_shared<Scenes>(20);
  LoaderOptions options = options_for_training();
  options.cache_bytes = 0;
  Loader plain(Dataset(without, "scenes"), options);
  drain(plain, 3);
  EXPECT_EQ(without->made_, 61);  // the first once more, for its shape
}

TEST(Loader, StopsInTheMiddle) {
  for (int i = 0; i < 20; ++i) {
    LoaderOptions options = options_for_training();
    options.threads = 4;
    Loader loader(scenes(200), options);
    for (int k = 0; k < i % 4; ++k) loader.next();
  }
}

}  // namespace
}  // namespace kvant::data
