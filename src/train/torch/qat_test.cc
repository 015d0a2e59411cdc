// SPDX-License-Identifier: Apache-2.0
// What fine-tuning does with quantization scales, statistics, teachers and labels that are not there.
#include <gmock/gmock.h>

#include <limits>

#include "train/fake_quantize.h"
#include "train/torch/bars_problem.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

constexpr int64_t kBatch = 64, kBatches = 8;

class QatTest : public TrainTest {
 protected:
  void SetUp() override {
    TrainTest::SetUp();
    if (IsSkipped()) return;
    graph_ = ir::parse(kNet);
    quantize_all(graph_, 8);
    options_.epochs = 1;
    options_.learning_rate = 1e-9;  // nothing moves but what is not trained by gradient
    options_.weight_decay = 0;
    options_.threads = 2;
  }

  // Images in order, so that the last batch is known.
  static MemorySource ordered() { return source(kBatch * kBatches, 1, kBatch, false); }
  void train_on_ordered() {
    MemorySource data = ordered();
    train(graph_, data, nullptr, options_);
  }
  std::vector<float> scales(const char* tensor) const {
    return ir::quantized_forms(graph_, graph_.find_value(tensor)).at(0).params.scale;
  }
  std::vector<float> values(const char* constant) const {
    return graph_.constant(graph_.find_value(constant))->to_floats();
  }
  // What covers batch `index` of the images.
  static float covering(int64_t index) {
    const auto [images, labels] = bars(kBatch * kBatches, 1);
    float least = 0, most = 0;
    widen_range(images.data<float>().data() + index * kBatch * 64, kBatch * 64, &least, &most);
    return covering_scale(least, most, -128, 127);
  }

  ir::Graph graph_;
  TrainOptions options_;
};

TEST_F(QatTest, FixedRangesKeepTheCalibratedOnes) {
  // As a calibrator may choose: half of the weights' maximum.
  const ir::Quantized pair = ir::quantized_forms(graph_, graph_.find_value("w2")).at(0);
  QuantParams half = pair.params;
  for (float& s : half.scale) s *= 0.5f;
  ir::set_params(graph_, pair, half);
  const std::vector<float> before = scales("x");
  train_on_ordered();
  EXPECT_EQ(scales("x"), before);
  for (size_t c = 0; c < half.scale.size(); ++c) EXPECT_NEAR(scales("w2")[c], half.scale[c], 1e-6f);
  // It follows the weights when they move.
  options_.learning_rate = 0.05;
  train_on_ordered();
  EXPECT_EQ(scales("x"), before);
  EXPECT_GT(std::abs(scales("w2")[0] - half.scale[0]), 1e-5f);
}

TEST_F(QatTest, LastValueTakesTheRangeOfTheLastBatch) {
  options_.ranges = Ranges::Last;
  train_on_ordered();
  EXPECT_EQ(scales("x"), (std::vector<float>{covering(kBatches - 1)}));
}

TEST_F(QatTest, TheAverageMovesByEveryBatch) {
  options_.ranges = Ranges::Average;
  options_.range_momentum = 0.5;
  double expected = scales("x")[0];
  train_on_ordered();
  for (int64_t b = 0; b < kBatches; ++b) expected = 0.5 * expected + 0.5 * covering(b);
  EXPECT_NEAR(scales("x")[0], expected, 1e-7);
}

TEST_F(QatTest, LearnedScalesMoveByTheirOwnLearningRate) {
  options_.ranges = Ranges::Learned;
  options_.learning_rate = 0.01;
  options_.scale_learning_rate = 0;
  const std::vector<float> input = scales("x"), weights = scales("w2");
  train_on_ordered();
  EXPECT_EQ(scales("x"), input);
  EXPECT_EQ(scales("w2"), weights);
  options_.scale_learning_rate = 1;
  train_on_ordered();
  EXPECT_NE(scales("x"), input);
  EXPECT_NE(scales("w2"), weights);
}

TEST_F(QatTest, FrozenRangesStay) {
  options_.epochs = 2;
  options_.learning_rate = 0.01;
  for (const Ranges ranges : {Ranges::Fixed, Ranges::Last, Ranges::Average, Ranges::Learned}) {
    options_.ranges = ranges;
    options_.freeze_ranges = 0;
    const std::vector<float> input = scales("x"), weights = scales("w2");
    const std::vector<float> w = values("w2");
    train_on_ordered();
    EXPECT_EQ(scales("x"), input);
    EXPECT_EQ(scales("w2"), weights);
    EXPECT_NE(values("w2"), w);
    for (const float code : quantize(*graph_.constant(graph_.find_value("w2")),
                                     ir::quantized_forms(graph_, graph_.find_value("w2")).at(0).params)
                                .to_floats()) {
      EXPECT_GE(code, -127) << "training knew no code -128";
    }
  }
}

TEST_F(QatTest, RangesFreezeAtAPointOfTheRun) {
  options_.epochs = 2;
  options_.ranges = Ranges::Last;
  options_.freeze_ranges = 1.375;  // batch 3 of the second epoch is the first that changes nothing
  train_on_ordered();
  EXPECT_EQ(scales("x"), (std::vector<float>{covering(2)}));
}

TEST_F(QatTest, BatchNormStatisticsFreezeAfterAnEpoch) {
  const ir::Graph start = graph_;
  train_on_ordered();
  const std::vector<float> after_one = values("v1");
  EXPECT_NE(after_one, std::vector<float>(8, 1.0f));
  options_.epochs = 2;
  options_.freeze_batch_norm = 1;
  graph_ = start;
  train_on_ordered();
  for (size_t c = 0; c < 8; ++c) EXPECT_NEAR(values("v1")[c], after_one[c], 1e-5f);
  options_.freeze_batch_norm = kNever;
  graph_ = start;
  train_on_ordered();
  EXPECT_GT(std::abs(values("v1")[0] - after_one[0]), 1e-4f);
}

TEST_F(QatTest, TrackedRunsResumeInTheSameBytes) {
  options_.epochs = 2;
  options_.learning_rate = 0.01;
  options_.ranges = Ranges::Average;
  options_.freeze_ranges = 1.5;
  ir::Graph whole = graph_;
  MemorySource data = ordered();
  train(whole, data, nullptr, options_);
  options_.checkpoint = path_;
  options_.checkpoint_steps = 5;
  CrashingSource crashing(data, 14);
  EXPECT_THAT(refusal([&] { train(graph_, crashing, nullptr, options_); }), HasSubstr("crashed"));
  options_.resume = true;
  train(graph_, data, nullptr, options_);
  EXPECT_EQ(bytes_of(graph_), bytes_of(whole));
}

TEST_F(QatTest, TheGradientsNormIsClipped) {
  const ir::Graph before = graph_;
  options_.learning_rate = 0.1;
  options_.final_learning_rate = 0.1;
  options_.momentum = 0;
  options_.clip_norm = 1e-3;
  MemorySource data = source(kBatch, 1, kBatch, false);  // one step
  train(graph_, data, nullptr, options_);
  double squares = 0;
  for (const char* name : {"w1", "g1", "b1", "w2", "w3", "b3"}) {
    const std::vector<float> old = before.constant(before.find_value(name))->to_floats();
    for (size_t i = 0; i < old.size(); ++i) {
      const double moved = values(name)[i] - old[i];
      squares += moved * moved;
    }
  }
  EXPECT_NEAR(std::sqrt(squares), 0.1 * 1e-3, 2e-6);
}

class DistillTest : public QatTest {
 protected:
  void SetUp() override {
    QatTest::SetUp();
    if (IsSkipped()) return;
    teacher_ = ir::parse(kNet);
    MemorySource data = source(1024, 1, 64, true);
    TrainOptions options = quick();
    train(teacher_, data, nullptr, options);
    graph_ = teacher_;
    quantize_all(graph_, 3);
    options_ = quick();
    options_.learning_rate = 0.005;
    options_.teacher = &teacher_;
    options_.distill_weight = 1;
  }
  static MemorySource unlabelled(int64_t count, uint64_t seed, int64_t batch) {
    return MemorySource(bars(count, seed).first, {}, batch);
  }
  ir::Graph teacher_;
};

TEST_F(DistillTest, NeedsNoLabels) {
  MemorySource data = unlabelled(1024, 1, 64), held_out = unlabelled(256, 2, 64);
  const TrainResult result = train(graph_, data, &held_out, options_);
  EXPECT_EQ(result.best_by, BestBy::Divergence);
  EXPECT_EQ(result.best_val.top1, -1);
  EXPECT_GT(result.best_epoch, 0);
  EXPECT_LT(result.best_val.divergence, 0.7 * result.start_val.divergence);
  EXPECT_GT(result.best_val.agreement, 85);
  EXPECT_LT(result.history.back().loss, result.history.front().loss);
  EXPECT_GT(result.history.back().train_top1, 80) << "agreement with the teacher";
}

TEST_F(DistillTest, AFinalSoftmaxOfTheTeacherIsLeftOut) {
  ir::Graph with_softmax = teacher_;
  const ir::ValueId logits = with_softmax.outputs()[0];
  const ir::NodeId softmax = with_softmax.add_node("Softmax", "probabilities", {logits}, {"p"}, {});
  with_softmax.set_outputs({with_softmax.node(softmax).outputs[0]});
  MemorySource data = unlabelled(256, 1, 64);
  options_.epochs = 1;
  ir::Graph other = graph_;
  train(graph_, data, nullptr, options_);
  options_.teacher = &with_softmax;
  train(other, data, nullptr, options_);
  EXPECT_EQ(bytes_of(graph_), bytes_of(other));
}

TEST_F(DistillTest, LabelsPlayNoPartAtFullWeight) {
  auto [images, labels] = bars(256, 1);
  MemorySource plain(images, labels, 64);
  for (int64_t& label : labels) label += 900;  // of another problem altogether
  MemorySource strange(images, labels, 64);
  options_.epochs = 1;
  ir::Graph other = graph_;
  train(graph_, plain, nullptr, options_);
  train(other, strange, nullptr, options_);
  EXPECT_EQ(bytes_of(graph_), bytes_of(other));
  // Nor do those of the validation set, unless asked for.
  MemorySource held_out = source(64, 2, 64, false);
  EXPECT_EQ(train(graph_, plain, &held_out, options_).best_by, BestBy::Divergence);
  options_.distill_weight = 0.5;
  EXPECT_EQ(train(graph_, plain, &held_out, options_).best_by, BestBy::Top1);
}

TEST_F(DistillTest, TheBestEpochIsChosenAsAsked) {
  MemorySource data = unlabelled(512, 1, 64), held_out = source(256, 2, 64, false);
  options_.best_by = BestBy::Agreement;
  const TrainResult result = train(graph_, data, &held_out, options_);
  EXPECT_EQ(result.best_by, BestBy::Agreement);
  double best = result.start_val.agreement;
  for (const EpochRecord& e : result.history) best = std::max(best, e.val.agreement);
  EXPECT_EQ(result.best_val.agreement, best);
  EXPECT_GE(result.best_val.top1, 0) << "labels are counted all the same";
  options_.keep_best = false;
  options_.learning_rate = 1e-9;
  const std::vector<float> before = values("w2");
  train(graph_, data, &held_out, options_);
  EXPECT_EQ(values("w2").size(), before.size());
}

TEST_F(DistillTest, MissingLabelsAndTeachersAreRefused) {
  MemorySource bare = unlabelled(128, 1, 64), labelled = source(128, 1, 64, false);
  options_.distill_weight = 0.9;
  EXPECT_THAT(refusal([&] { train(graph_, bare, nullptr, options_); }),
              HasSubstr("the training images have no labels; give a teacher (--distill) and leave the whole "
                        "loss to it"));
  options_.best_by = BestBy::Top1;
  EXPECT_THAT(refusal([&] { train(graph_, labelled, &bare, options_); }), HasSubstr("no top-1 to choose by"));
  options_.teacher = nullptr;
  EXPECT_THAT(refusal([&] { train(graph_, labelled, &bare, options_); }),
              HasSubstr("the validation images have no labels; give a teacher"));
  options_.best_by = BestBy::Divergence;
  EXPECT_THAT(refusal([&] { train(graph_, labelled, &labelled, options_); }),
              HasSubstr("needs a teacher (--distill)"));
  EXPECT_THAT(refusal([&] { evaluate_top1(graph_, bare, 2); }), HasSubstr("have no labels"));
}

TEST_F(DistillTest, ATeacherOfOtherClassesIsRefused) {
  ir::Graph other = ir::parse(R"(graph "t" { input %x: f32[N,1,8,8] const %w: f32[64,5] = rand(1)
    %f = Flatten "f" (%x)  %y = MatMul "m" (%f, %w)  output %y })");
  options_.teacher = &other;
  MemorySource data = unlabelled(128, 1, 64);
  EXPECT_THAT(refusal([&] { train(graph_, data, nullptr, options_); }),
              HasSubstr("the teacher's output has another shape than the model's"));
}

TEST_F(QatTest, SchedulesOutOfRangeAreRefused) {
  MemorySource data = ordered();
  const auto said = [&](auto change) {
    TrainOptions options = options_;
    options.epochs = 3;
    change(options);
    return refusal([&] { train(graph_, data, nullptr, options); });
  };
  EXPECT_THAT(
      said([](TrainOptions& o) { o.freeze_ranges = 3; }),
      HasSubstr("freezing the ranges after epoch 3 is out of range: training has 3 epochs, so it must "
                "be at least 0 and less"));
  EXPECT_THAT(said([](TrainOptions& o) { o.freeze_batch_norm = -1; }),
              HasSubstr("freezing the batch norms' statistics after epoch -1 is out of range"));
  EXPECT_THAT(said([](TrainOptions& o) { o.range_momentum = 1; }),
              HasSubstr("the ranges' momentum 1 is out of range: it must be in [0, 1)"));
  EXPECT_THAT(said([](TrainOptions& o) { o.scale_learning_rate = -1; }),
              HasSubstr("the factor on the scales' learning rate -1 is out of range"));
}

TEST_F(QatTest, ANotFiniteActivationIsToldInEveryMode) {
  for (const Ranges ranges : {Ranges::Last, Ranges::Average, Ranges::Learned}) {
    auto [images, labels] = bars(128, 1);
    images.mutable_data<float>()[70] = std::numeric_limits<float>::quiet_NaN();
    MemorySource data(images, labels, 64);
    options_.ranges = ranges;
    EXPECT_THAT(refusal([&] { train(graph_, data, nullptr, options_); }),
                HasSubstr("training diverged: the loss is nan"));
  }
}

}  // namespace
}  // namespace kvant::train
