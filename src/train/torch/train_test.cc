// SPDX-License-Identifier: Apache-2.0
// Training through the plug-in, on the problem of bars_problem.h.
#include "train/train.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/interrupt.h"
#include "ir/interpreter.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "train/plugin.h"
#include "train/torch/bars_problem.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

// Asks for a stop when so many batches have been taken.
class StoppingSource final : public BatchSource {
 public:
  StoppingSource(BatchSource& inner, int64_t after) : inner_(inner), left_(after) {}
  int64_t batches() const override { return inner_.batches(); }
  int64_t images() const override { return inner_.images(); }
  void seek(int64_t epoch, int64_t batch) override { inner_.seek(epoch, batch); }
  std::string identity() const override { return inner_.identity(); }
  std::optional<LabelledBatch> next() override {
    if (--left_ == 0) request_interrupt(2);
    return inner_.next();
  }

 private:
  BatchSource& inner_;
  int64_t left_;
};

TEST_F(TrainTest, LearnsFromScratch) {
  for (const OptimizerKind kind : {OptimizerKind::Sgd, OptimizerKind::AdamW}) {
    ir::Graph graph = ir::parse(kNet);
    MemorySource data = source(1024, 1, 64, true), held_out = source(256, 2, 100, false);
    TrainOptions options = quick();
    options.optimizer = kind;
    options.epochs = 8;
    options.nesterov = true;
    options.label_smoothing = 0.05;
    options.clip_norm = 5;
    if (kind == OptimizerKind::AdamW) options.learning_rate = 0.005;
    const TrainResult result = train(graph, data, &held_out, options);
    ASSERT_EQ(result.history.size(), 8u);
    EXPECT_LT(result.history.back().loss, result.history.front().loss);
    EXPECT_GT(result.best_val.top1, 85);
    EXPECT_NEAR(evaluate_top1(graph, held_out, 2), result.best_val.top1, 1e-9);
    EXPECT_NE(graph.constant(graph.find_value("m1"))->data<float>()[0], 0.0f) << "running mean";
    EXPECT_GT(result.images_per_second(), 0);
  }
}

TEST_F(TrainTest, SaysWhyThereIsNoCard) {
  const Plugin cpu_only{nullptr, {}, "1.13.0", "", "none"}, no_card{nullptr, {}, "2.11.0", "", "0"},
      two{nullptr, {}, "2.11.0", "", "2"};
  const auto refusal = [](const Plugin& plugin, int card) -> std::string {
    try {
      require_card(plugin, card);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(refusal(cpu_only, 0),
              HasSubstr("LibTorch 1.13.0 of this build has no CUDA: train with --device cpu"));
  EXPECT_THAT(refusal(no_card, 0), HasSubstr("LibTorch 2.11.0 sees no card on this machine"));
  EXPECT_EQ(refusal(two, 2), "there is no cuda:2 for LibTorch 2.11.0: it sees 2 cards");
  EXPECT_EQ(refusal(two, 1), "");
  if (plugin().cards != "none") GTEST_SKIP() << "this LibTorch has CUDA";
  ir::Graph graph = ir::parse(kNet);
  MemorySource data = source(128, 1, 64, true);
  TrainOptions options = quick();
  options.card = 0;
  EXPECT_THROW(train(graph, data, nullptr, options), Error);
}

TEST_F(TrainTest, FrozenStatisticsStay) {
  ir::Graph graph = ir::parse(kNet);
  MemorySource data = source(256, 1, 64, true);
  TrainOptions options = quick();
  options.epochs = 1;
  options.freeze_batch_norm = 0;
  train(graph, data, nullptr, options);
  EXPECT_EQ(*graph.constant(graph.find_value("v1")), Tensor::full({8}, 1.0f));
}

TEST_F(TrainTest, FineTuningAQuantizedGraphGivesWhatItSimulated) {
  for (const int bits : {8, 3}) {
    for (const Ranges ranges : {Ranges::Fixed, Ranges::Learned}) {
      ir::Graph graph = ir::parse(kNet);
      MemorySource data = source(1024, 1, 64, true), held_out = source(256, 2, 64, false);
      train(graph, data, &held_out, quick());
      quantize_all(graph, bits);
      TrainOptions options = quick();
      options.epochs = 2;
      options.ranges = ranges;
      options.learning_rate = 0.005;
      const TrainResult result = train(graph, data, &held_out, options);
      EXPECT_GE(result.best_val.top1, result.start_val.top1);
      EXPECT_NEAR(evaluate_top1(graph, held_out, 2), result.best_val.top1, 1e-9) << bits;
      // The interpreter runs the Q and DQ nodes as they stand in the file.
      auto [images, labels] = bars(64, 5);
      const Tensor reference = ir::evaluate(graph, ops::standard(), std::span(&images, 1)).at(0);
      const Tensor simulated = simulate(graph, images);
      EXPECT_LE(max_abs_difference(reference, simulated), bits == 8 ? 0.2 : 1.0) << bits;
      for (const ir::NodeId id : graph.topological_order()) {
        const auto pair = ir::quantized_behind(graph, graph.node(id).outputs[0]);
        if (!pair || !graph.is_constant(pair->source)) continue;
        const Tensor codes = quantize(*graph.constant(pair->source), pair->params);
        for (const int8_t code : codes.data<int8_t>()) EXPECT_LE(std::abs(code), (1 << (bits - 1)) - 1);
      }
    }
  }
}

TEST_F(TrainTest, ResumedRunsEndInTheSameBytes) {
  for (const int64_t stop_after : {3, 16, 21}) {  // in the first epoch, at its end, in the second
    TrainOptions options = quick();
    options.epochs = 2;
    ir::Graph whole = ir::parse(kNet), parts = ir::parse(kNet);
    MemorySource data = source(1024, 1, 64, true), held_out = source(128, 2, 64, false);
    const TrainResult expected = train(whole, data, &held_out, options);
    options.checkpoint = path_;
    StoppingSource stopping(data, stop_after);
    const std::vector<std::byte> before = bytes_of(parts);
    EXPECT_THROW(train(parts, stopping, &held_out, options), Interrupted);
    request_interrupt(0);
    EXPECT_EQ(bytes_of(parts), before) << "an interrupted run leaves the graph alone";
    ASSERT_TRUE(std::filesystem::exists(path_));
    options.resume = true;
    const TrainResult resumed = train(parts, data, &held_out, options);
    EXPECT_EQ(bytes_of(parts), bytes_of(whole)) << stop_after;
    ASSERT_EQ(resumed.history.size(), expected.history.size());
    EXPECT_EQ(resumed.history.back().loss, expected.history.back().loss);
  }
}

// How many steps a crash at batch 12 of 16 leaves to do again: counted by a second crash after resuming.
TEST_F(TrainTest, CheckpointsComeAfterStepsAndAfterSeconds) {
  struct Setting {
    int64_t steps;
    double seconds;
    int64_t saved;  // of the 11 steps done
  };
  for (const Setting& setting : {Setting{5, 1e9, 10}, Setting{0, 0, 11}, Setting{0, 1e9, 0}}) {
    std::filesystem::remove(path_);
    MemorySource data = source(1024, 1, 64, true);
    TrainOptions options = quick();
    options.epochs = 1;
    ir::Graph whole = ir::parse(kNet), parts = ir::parse(kNet);
    train(whole, data, nullptr, options);
    options.checkpoint = path_;
    options.checkpoint_steps = setting.steps;
    options.checkpoint_seconds = setting.seconds;
    CrashingSource crashing(data, 12);
    EXPECT_THAT(refusal([&] { train(parts, crashing, nullptr, options); }), HasSubstr("crashed"));
    ASSERT_EQ(std::filesystem::exists(path_), setting.saved > 0);
    options.resume = true;
    // The 16 steps less those saved are taken again; one batch more would crash.
    CrashingSource rest(data, 16 - setting.saved + 1);
    train(parts, rest, nullptr, options);
    EXPECT_EQ(bytes_of(parts), bytes_of(whole)) << setting.steps << " " << setting.seconds;
    if (setting.saved == 0) continue;
    CrashingSource early(data, 1);
    train(parts = ir::parse(kNet), early, nullptr, options);  // the last checkpoint is of the end: no step
    EXPECT_EQ(bytes_of(parts), bytes_of(whole));
  }
}

TEST_F(TrainTest, RefusesToResumeAnotherRun) {
  TrainOptions options = quick();
  options.epochs = 1;
  options.checkpoint = path_;
  ir::Graph graph = ir::parse(kNet);
  MemorySource data = source(256, 1, 64, true);
  train(graph, data, nullptr, options);
  options.resume = true;
  options.learning_rate = 0.03;
  ir::Graph again = ir::parse(kNet);
  EXPECT_THAT(refusal([&] { train(again, data, nullptr, options); }), HasSubstr("is of another run"));
}

TEST_F(TrainTest, DivergenceIsOneClearSentence) {
  ir::Graph graph = ir::parse(kNet);
  auto [images, labels] = bars(128, 1);
  images.mutable_data<float>()[70] = std::numeric_limits<float>::quiet_NaN();
  MemorySource data(images, labels, 64, 1);
  EXPECT_THAT(refusal([&] { train(graph, data, nullptr, quick()); }),
              HasSubstr("training diverged: the loss is nan"));
}

TEST_F(TrainTest, LabelsThatDoNotFitAreNamed) {
  ir::Graph graph = ir::parse(kNet);
  auto [images, labels] = bars(128, 1);
  labels[5] = 4;
  MemorySource data(images, labels, 128, 1);
  EXPECT_THAT(refusal([&] { train(graph, data, nullptr, quick()); }),
              HasSubstr("label 4 does not fit the model, whose output has 4 classes"));
}

TEST_F(TrainTest, OptionsOutOfRangeAndEmptyModelsAreRefused) {
  ir::Graph graph = ir::parse(kNet);
  MemorySource data = source(128, 1, 64, true);
  TrainOptions options = quick();
  options.learning_rate = -1;
  EXPECT_THAT(refusal([&] { train(graph, data, nullptr, options); }),
              HasSubstr("the learning rate -1 is out of range: it must be above 0"));
  ir::Graph bare = ir::parse(R"(graph "g" { input %x: f32[N,1,8,8] %y = Flatten (%x) output %y })");
  EXPECT_THAT(refusal([&] { train(bare, data, nullptr, quick()); }),
              HasSubstr("the model has no weights to train"));
}

TEST_F(TrainTest, ATeacherPullsTheStudent) {
  ir::Graph teacher = ir::parse(kNet), student = ir::parse(kNet);
  MemorySource data = source(1024, 1, 64, true), held_out = source(256, 2, 64, false);
  train(teacher, data, &held_out, quick());
  TrainOptions options = quick();
  options.teacher = &teacher;
  options.distill_weight = 1.0;  // no labels at all
  const TrainResult result = train(student, data, &held_out, options);
  EXPECT_GT(result.best_val.top1, 70);
}

TEST(Plugin, AMissingOneIsOneSentence) {
  const char* before = std::getenv("KVANT_TRAIN_PLUGIN");
  const std::string kept = before == nullptr ? "" : before;
  setenv("KVANT_TRAIN_PLUGIN", "/nowhere/kvant_train_torch.so", 1);
  EXPECT_EQ(plugin_candidates(), std::vector<std::filesystem::path>{"/nowhere/kvant_train_torch.so"});
  // In a process of its own, started afresh: here the plug-in may be loaded already.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(
      {
        const auto missing = plugin_missing();
        std::fputs(missing ? missing->c_str() : "loaded", stderr);
        std::exit(missing ? 0 : 1);
      },
      testing::ExitedWithCode(0), "training needs the plug-in kvant_train_torch.so, which cannot be loaded");
  before == nullptr ? unsetenv("KVANT_TRAIN_PLUGIN") : setenv("KVANT_TRAIN_PLUGIN", kept.c_str(), 1);
}

}  // namespace
}  // namespace kvant::train
