// SPDX-License-Identifier: Apache-2.0
#include "train/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "train/schedule.h"

namespace kvant::train {
namespace {

using testing::HasSubstr;

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest()
      : path_(testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove(path_);
    checkpoint_.fingerprint = 77;
    checkpoint_.epoch = 2;
    checkpoint_.step = 11;
    checkpoint_.loss_sum = 1.5;
    checkpoint_.result.history = {{1, 0.5, 90.0, 91.0, 3.0}, {2, 0.25, 92.0, 93.0, 3.5}};
    checkpoint_.result.best_val.top1 = 93.0;
    checkpoint_.state = {{1, 2, 3}, {}, {4}};
    checkpoint_.best = {{5}};
  }
  ~CheckpointTest() override { std::filesystem::remove(path_); }

  std::string refusal() {
    try {
      load_checkpoint(path_, 77);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }
  void overwrite(std::streamoff at, char value) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file.put(value);
  }

  std::filesystem::path path_;
  Checkpoint checkpoint_;
};

TEST_F(CheckpointTest, ComesBackAsItWas) {
  save_checkpoint(path_, checkpoint_);
  const Checkpoint back = load_checkpoint(path_, 77);
  EXPECT_EQ(back.state, checkpoint_.state);
  EXPECT_EQ(back.best, checkpoint_.best);
  EXPECT_EQ(back.epoch, 2);
  EXPECT_EQ(back.step, 11);
  EXPECT_EQ(back.loss_sum, 1.5);
  ASSERT_EQ(back.result.history.size(), 2u);
  EXPECT_EQ(back.result.history[1].val.top1, 93.0);
}

TEST_F(CheckpointTest, RefusesWhatItCannotResume) {
  EXPECT_THAT(refusal(), HasSubstr("there is no checkpoint"));
  write_text(path_, "something else, long enough to hold a header of thirty-two bytes");
  EXPECT_THAT(refusal(), HasSubstr("is no training checkpoint of kvant"));
  save_checkpoint(path_, checkpoint_);
  overwrite(8, 9);
  EXPECT_THAT(refusal(), HasSubstr("is of version 9"));
  checkpoint_.fingerprint = 78;
  save_checkpoint(path_, checkpoint_);
  EXPECT_THAT(refusal(), HasSubstr("is of another run: model, data and options must be the same to resume"));
}

TEST_F(CheckpointTest, EveryFlippedByteAndEveryTruncationIsNoticed) {
  save_checkpoint(path_, checkpoint_);
  const std::string good = read_text(path_);
  for (size_t at = 16; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    write_text(path_, bad);
    ASSERT_THAT(refusal(), HasSubstr("is damaged")) << at;
  }
  for (size_t size = 0; size < good.size(); ++size) {
    write_text(path_, good.substr(0, size));
    ASSERT_NE(refusal(), "accepted") << size;
  }
}

TEST(Schedule, WarmsUpThenFallsAsACosine) {
  const Schedule schedule{.peak = 1.0, .end = 0.1, .warmup = 10, .total = 110};
  EXPECT_DOUBLE_EQ(schedule.at(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.at(9), 1.0);
  EXPECT_DOUBLE_EQ(schedule.at(10), 1.0);
  EXPECT_NEAR(schedule.at(60), 0.55, 1e-12);
  EXPECT_GT(schedule.at(109), 0.1);
  EXPECT_LT(schedule.at(109), 0.11);
}

}  // namespace
}  // namespace kvant::train
