// SPDX-License-Identifier: Apache-2.0
#include "choose/model_workshop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include "backends/backends.h"
#include "base/error.h"
#include "base/random.h"
#include "choose/layers.h"
#include "choose/search.h"
#include "ir/interpreter.h"
#include "ir/statistics.h"
#include "ops/ops.h"
#include "train/plugin.h"
#include "zoo/zoo.h"

namespace kvant::choose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr double kForever = std::numeric_limits<double>::infinity();

// Noise that belongs to no class.
class UnlabelledNoise final : public data::DatasetReader {
 public:
  explicit UnlabelledNoise(int64_t count) : count_(count) {}
  int64_t size() const override { return count_; }
  int64_t label(int64_t) const override { return data::kNoLabel; }
  std::string describe(int64_t i) const override { return fmt::format("noise {}", i); }
  bool holds_images() const override { return false; }
  Tensor tensor(int64_t i) const override {
    Tensor x(DType::Float32, {3, 8, 8});
    Random random(static_cast<uint64_t>(i) + 1);
    for (float& value : x.mutable_data<float>()) value = random.normal();
    return x;
  }

 private:
  int64_t count_;
};

data::Dataset noise(int64_t count) { return {std::make_shared<UnlabelledNoise>(count), "noise"}; }

std::vector<const engine::Backend*> all_backends() {
  static const auto owned = backends::all();
  std::vector<const engine::Backend*> all;
  for (const auto& backend : owned) all.push_back(backend.get());
  return all;
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// One model, one set of noise, one workshop.
struct Shop {
  explicit Shop(ir::Graph model = zoo::create("resnet8", {.input = {3, 8, 8}}), WorkshopOptions options = {},
                std::filesystem::path file = {}, bool resume = false)
      : state(std::move(file), "f", resume) {
    data::LoaderOptions loader;
    loader.batch = 4;
    loader.threads = 1;
    loader.sample_shape = {3, 8, 8};
    if (options.variants.empty())
      options.variants = variants_of({"max", "auto"}, {"fold-batch-norm", "bias-correction"});
    options.timing = {.batch = 1, .threads = 1, .iterations = 3};
    options.tuning.epochs = 1;
    options.tuning.batch = 8;
    options.tuning.threads = 1;
    options.resume = resume;
    workshop.emplace(std::move(model), parts_of(noise(20), {}, 0.5, 8),
                     WorkshopTools{ops::standard(), runners, backends, loader, silent_progress()}, options,
                     state);
  }
  const quant::RunnerFactory runners = [](const ir::Graph& graph) {
    return std::make_unique<ir::Interpreter>(graph, ops::standard());
  };
  const std::vector<const engine::Backend*> backends = all_backends();
  SearchState state;
  std::optional<ModelWorkshop> workshop;
};

constexpr const char* kRepaired = "auto + fold-batch-norm + bias-correction";

Recipe ptq(const std::string& variant) { return {.stage = Stage::Ptq, .variant = variant, .floats = {}}; }

TEST(DataParts, JudgeByOtherSamplesThanTheyCalibrateOn) {
  const DataParts parts = parts_of(noise(10), {}, 0.3, 4);
  EXPECT_EQ(parts.scoring.size(), 3);
  EXPECT_EQ(parts.scoring.describe(0), "noise 2");
  EXPECT_EQ(parts.scoring.describe(2), "noise 8");
  EXPECT_EQ(parts.training.size(), 7);
  EXPECT_EQ(parts.calibration.size(), 4);
  const auto index = [](const data::Dataset& set, int64_t i) { return std::stoi(set.describe(i).substr(6)); };
  for (int64_t i = 0; i < parts.training.size(); ++i) EXPECT_NE(index(parts.training, i) % 3, 2);
  EXPECT_EQ(parts_of(noise(10), noise(3), 0.3, 20).calibration.size(), 10);
  EXPECT_EQ(parts_of(noise(10), noise(3), 0.3, 20).scoring.size(), 3);
  EXPECT_THAT(refusal([] { parts_of(noise(2), {}, 0.3, 20); }),
              HasSubstr("2 samples are too few to hold out"));
  const auto [training, tuning] = training_parts(noise(5000));
  EXPECT_EQ(training.size(), 4500);
  EXPECT_EQ(tuning.size(), 500);
  EXPECT_EQ(training_parts(noise(9)).second.size(), 1);
  EXPECT_THAT(refusal([] { training_parts(noise(4)); }), HasSubstr("4 samples are too few to train on"));
}

TEST(Variants, RepairComesLastOnTheRobustCalibrator) {
  const std::vector<Variant> variants = variants_of({"auto", "max"}, {"adaround", "bias-correction"});
  ASSERT_EQ(variants.size(), 3u);
  EXPECT_EQ(variants[1].name, "max");
  EXPECT_EQ(variants[1].adjust, quant::default_adjusts());
  EXPECT_EQ(variants[2].name, "auto + adaround + bias-correction");
  EXPECT_EQ(variants[2].calibrator, "auto");
  EXPECT_THAT(variants[2].adjust, ElementsAre("adaround", "bias-correction"));
  EXPECT_EQ(variants_of({"mse", "max"}, {"auto"}).back().name, "max + repair");
  EXPECT_EQ(variants_of({"mse"}, {}).size(), 1u);
}

TEST(ModelWorkshop, MakesScoresAndTimes) {
  Shop shop;
  EXPECT_THAT(shop.workshop->variants(), ElementsAre("max", "auto", kRepaired));
  const Measured floats = shop.workshop->measure({}, kForever);
  EXPECT_EQ(floats.score.samples, 10);
  EXPECT_EQ(*floats.score.agreement, 1);
  EXPECT_FALSE(floats.score.top1.has_value());
  EXPECT_EQ(floats.speedup(), 1);
  EXPECT_GT(floats.ms, 0);
  const Measured max = shop.workshop->measure(ptq("max"), kForever);
  EXPECT_GT(max.score.relative_error, 0);
  EXPECT_GT(max.ms, 0);
  EXPECT_GT(max.float_ms, 0);
  EXPECT_EQ(shop.workshop->measure(ptq("max"), kForever).score.relative_error, max.score.relative_error);
  EXPECT_NE(shop.workshop->measure(ptq(kRepaired), kForever).score.relative_error, max.score.relative_error);

  const Units units = shop.workshop->units("max", kForever);
  EXPECT_EQ(units.left, 0u);
  const ir::Graph whole = shop.workshop->make(ptq("max"), kForever);
  std::set<std::string> all = layers_of(units.units, units.units.size());
  const std::vector<std::string> layers = quantized_layers(whole);
  EXPECT_EQ(all, std::set<std::string>(layers.begin(), layers.end()));
  const Recipe mixed{.stage = Stage::Mixed, .variant = "max", .floats = {"conv1", "fc"}};
  const std::vector<std::string> left = quantized_layers(shop.workshop->make(mixed, kForever));
  EXPECT_EQ(left.size(), layers.size() - 2);
  EXPECT_LT(shop.workshop->measure(mixed, kForever).score.relative_error, max.score.relative_error);
}

TEST(ModelWorkshop, OffersTablesWhereActivationsStandBetweenCodes) {
  Shop shop;
  EXPECT_EQ(shop.workshop->with_tables("max"), std::nullopt);  // ReLU alone
  WorkshopOptions options;
  Shop swish(zoo::create("efficientnet-cifar", {.input = {3, 8, 8}}), options);
  const std::string name = "max + activation tables";
  EXPECT_EQ(swish.workshop->with_tables("max"), name);
  EXPECT_EQ(swish.workshop->variants().size(), 3u);  // asked for alone
  const auto pairs = [&](const std::string& variant) {
    return ir::summarize_qdq(swish.workshop->make(ptq(variant), kForever)).activation_pairs;
  };
  EXPECT_GT(pairs(name), pairs("max"));
  EXPECT_GT(swish.workshop->measure(ptq(name), kForever).ms, 0);
  options.placement.activation_tables = true;
  EXPECT_EQ(
      Shop(zoo::create("efficientnet-cifar", {.input = {3, 8, 8}}), options).workshop->with_tables("max"),
      std::nullopt);  // in every variant already
}

TEST(ModelWorkshop, RefusesAQuantizedModel) {
  Shop shop;
  const ir::Graph qdq = shop.workshop->make(ptq("max"), kForever);
  EXPECT_EQ(refusal([&] { Shop again(qdq); }),
            "the model is quantized already: auto starts from the float model");
}

TEST(ModelWorkshop, IsWhatASearchWorksWith) {
  Shop shop;
  const Outcome outcome = search(*shop.workshop, {.max_drop = 1, .qat = false});
  EXPECT_EQ(outcome.by, By::Agreement);
  ASSERT_TRUE(outcome.chosen.has_value());  // INT8 or, where that is not faster here, float
  EXPECT_EQ(outcome.trials[1].name, "ptq max");
}

TEST(ModelWorkshop, TrainsWithoutLabelsAndForAsLongAsThereIsTime) {
  if (const auto missing = train::plugin_missing()) GTEST_SKIP() << *missing;
  const std::filesystem::path file =
      std::filesystem::path(testing::TempDir()) / ("kvant_qat_" + std::to_string(::getpid()));
  Shop shop(zoo::create("resnet8", {.input = {3, 8, 8}}), {}, file);
  EXPECT_EQ(shop.workshop->qat_missing(), std::nullopt);
  const Recipe qat{.stage = Stage::Qat, .variant = "max", .floats = {}};
  EXPECT_THAT(refusal([&] { shop.workshop->measure(qat, 1e-9); }),
              HasSubstr("s, and the budget has 0 s left"));
  const Measured measured = shop.workshop->measure(qat, kForever);
  EXPECT_TRUE(std::isfinite(measured.score.relative_error));
  EXPECT_EQ(*shop.state.number("epochs max"), 1);
  EXPECT_EQ(quantized_layers(shop.workshop->make(qat, kForever)),
            quantized_layers(shop.workshop->make(ptq("max"), kForever)));
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace kvant::choose
