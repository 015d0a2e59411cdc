// SPDX-License-Identifier: Apache-2.0
// The formats on real data sets, where they are at hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "data/dataset.h"
#include "data/loader.h"

namespace kvant::data {
namespace {

const std::string kShared = KVANT_SOURCE_DIR "/../shared/data/";
const std::string kFashion = "/usr/share/datasets/fashion-mnist";

bool absent(const std::string& path) { return !std::filesystem::exists(path); }

std::vector<int64_t> counts_of(const Dataset& dataset, int64_t classes) {
  std::vector<int64_t> counts(static_cast<size_t>(classes));
  for (int64_t i = 0; i < dataset.size(); ++i) ++counts[static_cast<size_t>(dataset.label(i))];
  return counts;
}

TEST(RealData, FashionMnist) {
  if (absent(kFashion)) GTEST_SKIP() << "Debian's package dataset-fashion-mnist is not installed";
  const Dataset train = open(kFashion);
  const Dataset test = open("idx:" + kFashion + "#test");
  EXPECT_EQ(train.size(), 60000);
  EXPECT_EQ(counts_of(train, 10), std::vector<int64_t>(10, 6000));
  EXPECT_EQ(counts_of(test, 10), std::vector<int64_t>(10, 1000));
  // The published mean and deviation of the training images, 0.2860 and 0.3530.
  LoaderOptions options;
  options.batch = 1000;
  options.preprocess = parse_preprocess("scale");
  options.sample_shape = {1, 28, 28};
  Loader loader(train, options);
  double sum = 0;
  double squares = 0;
  while (const auto batch = loader.next()) {
    for (const float value : batch->samples.data<float>()) {
      sum += value;
      squares += static_cast<double>(value) * value;
    }
  }
  const double mean = sum / (60000.0 * 784);
  EXPECT_NEAR(mean, 0.2860, 1e-4);
  EXPECT_NEAR(std::sqrt(squares / (60000.0 * 784) - mean * mean), 0.3530, 1e-4);
}

TEST(RealData, CifarRecords) {
  const std::string path = kShared + "cifar10/cifar10-lossless-train4000.bin.zst";
  if (absent(path)) GTEST_SKIP() << "no " << path;
  const Dataset dataset = open(path);
  EXPECT_EQ(dataset.spec(), "cifar10:" + path);
  EXPECT_EQ(dataset.size(), 4000);
  EXPECT_EQ(dataset.class_names()[static_cast<size_t>(dataset.label(0))], "frog");  // as CIFAR-10 begins
  double sum[3] = {};
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const Image image = dataset.image(i);
    for (size_t p = 0; p < image.pixels.size(); ++p) sum[p % 3] += image.pixels[p];
  }
  const double published[3] = {0.4914, 0.4822, 0.4465};  // of all 50,000
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(sum[c] / (4000.0 * 1024 * 255), published[c], 0.01);
}

TEST(RealData, PhotographsInATar) {
  const std::string folder = kShared + "imagenet-sample/";
  if (absent(folder)) GTEST_SKIP() << "no " << folder;
  EXPECT_EQ(open("csv:" + folder + "images.tar#calibrate").size(), 250);
  const Dataset photos = open("csv:" + folder + "labels.csv#evaluate");
  EXPECT_EQ(photos.size(), 500);
  EXPECT_EQ(photos.class_names()[1], "goldfish, Carassius auratus");
  photos.require_labels(1000);
  LoaderOptions options;
  options.preprocess = parse_preprocess("torchvision");
  options.sample_shape = {3, 224, 224};
  Loader loader(photos.spread(64), options);
  const auto batch = loader.next();
  double sum = 0;
  for (const float value : batch->samples.data<float>()) sum += value;
  EXPECT_NEAR(sum / static_cast<double>(batch->samples.size()), 0.0, 0.5);
}

TEST(RealData, PackedImageFolder) {
  const std::string path = kShared + "cifar10/cifar10-jpeg.tar.zst";
  if (absent(path)) GTEST_SKIP() << "no " << path;
  const Dataset test = open("imagefolder:" + path + "#test");
  EXPECT_EQ(counts_of(test, 10), std::vector<int64_t>(10, 1000));
  EXPECT_EQ(test.class_names()[6], "frog");
  const Image image = test.image(9999);
  EXPECT_EQ(image.height, 32);
  EXPECT_EQ(image.channels, 3);
}

}  // namespace
}  // namespace kvant::data
