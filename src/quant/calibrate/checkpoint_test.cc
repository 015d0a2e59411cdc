// SPDX-License-Identifier: Apache-2.0
// A calibration that was stopped and goes on ends with the same ranges, to the last bit.
#include "quant/calibrate/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <functional>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/random.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/calibrate/calibrate.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

class Resume : public testing::Test {
 protected:
  Resume()
      : graph_(ir::parse(R"(graph "g" { input %x: f32[N,50]
    const %k: f32[50] = rand(1)
    %y = Mul "y" (%x, %k)
    %z = Relu "z" (%y)
    output %z })")),
        runner_(graph_, ops::standard()) {
    path_ =
        std::filesystem::temp_directory_path() /
        fmt::format("kvant-{}-{}", ::testing::UnitTest::GetInstance()->current_test_info()->name(), getpid());
    std::filesystem::remove(path_);
  }
  ~Resume() override {
    std::filesystem::remove(path_);
    request_interrupt(0);
  }

  static Tensor batch(uint64_t seed, int64_t size = 4) {
    Tensor x(DType::Float32, {size, 50});
    Random random(seed);
    for (float& value : x.mutable_data<float>()) value = random.normal() * static_cast<float>(1 + seed);
    return x;
  }

  // Stops before batch `stop` (-1: never); `first` and `size` vary the data.
  CalibrationTable run(CalibrateOptions options, int stop = -1, uint64_t first = 0, int64_t size = 4) {
    options.checkpoint = path_;
    int at = 0;
    runs_ = 0;
    const BatchSource source = [&]() -> std::optional<std::vector<Tensor>> {
      if (at == 10) return std::nullopt;
      const uint64_t seed = first + static_cast<uint64_t>(at++);
      if (at == stop) request_interrupt(2);
      return std::vector<Tensor>{batch(seed, size)};
    };
    return calibrate(
        graph_, {"x", "y", "z"},
        [&](std::span<const Tensor>) -> ir::Runner& {
          ++runs_;
          return runner_;
        },
        source, options);
  }

  ir::Graph graph_;
  ir::Interpreter runner_;
  std::filesystem::path path_;
  int runs_ = 0;
};

TEST_F(Resume, EveryCalibratorEndsTheSame) {
  for (const CalibratorEntry& entry : calibrators()) {
    const CalibrateOptions options{.calibrator = std::string(entry.name)};
    const CalibrationTable whole = run(options);
    EXPECT_FALSE(std::filesystem::exists(path_));  // it took less than checkpoint_seconds
    CalibrateOptions resumed = options;
    resumed.resume = true;
    for (const int stop : {3, 7}) {
      EXPECT_THROW(run(resumed, stop), Interrupted) << entry.name;
      request_interrupt(0);
      ASSERT_TRUE(std::filesystem::exists(path_));
    }
    const CalibrationTable pieced = run(resumed);
    EXPECT_EQ(runs_, 3);  // batches 7 to 9 alone
    EXPECT_EQ(to_json(pieced), to_json(whole)) << entry.name;
    std::filesystem::remove(path_);
  }
}

TEST_F(Resume, CheckpointAfterSomeTime) {
  run({.calibrator = "mse", .checkpoint_seconds = 0});
  const auto checkpoint = load_checkpoint(path_);
  ASSERT_TRUE(checkpoint.has_value());
  EXPECT_EQ(checkpoint->batches, 10);
  EXPECT_EQ(checkpoint->samples, 40);
  run({.calibrator = "mse", .resume = true});
  EXPECT_EQ(runs_, 0);  // it was done already
}

TEST_F(Resume, WithoutAskingItStartsOver) {
  EXPECT_THROW(run({}, 5), Interrupted);
  request_interrupt(0);
  run({});
  EXPECT_EQ(runs_, 10);
}

TEST_F(Resume, RefusesWhatDoesNotBelongTogether) {
  EXPECT_THROW(run({.calibrator = "mse"}, 5), Interrupted);
  request_interrupt(0);
  const auto resumed = [&](const CalibrateOptions& options, uint64_t first = 0, int64_t size = 4) {
    CalibrateOptions with = options;
    with.resume = true;
    return message_of([&] { run(with, -1, first, size); });
  };
  EXPECT_THAT(resumed({.calibrator = "entropy"}),
              HasSubstr("is of another model, other tensors or other options"));
  EXPECT_THAT(resumed({.calibrator = "mse", .options = {.bits = 4}}), HasSubstr("other options"));
  EXPECT_THAT(resumed({.calibrator = "mse"}, 1),
              HasSubstr("is of other data or another batch: resume with what"));
  EXPECT_THAT(resumed({.calibrator = "mse"}, 0, 2), HasSubstr("is of other data or another batch"));
  EXPECT_EQ(resumed({.calibrator = "mse"}), "no error");
  CalibrateOptions options{.calibrator = "mse", .checkpoint = path_, .resume = true};
  EXPECT_THAT(message_of([&] {
                calibrate(graph_, {"x", "y", "z"}, runner_, batches_of({{batch(0)}}), options);
              }),
              HasSubstr("is of other data"));
}

TEST_F(Resume, RefusesDamagedCheckpoints) {
  EXPECT_THROW(run({.calibrator = "mse"}, 5), Interrupted);
  request_interrupt(0);
  const std::string whole = read_text(path_);
  const auto error = [&](const std::string& bytes) {
    write_text(path_, bytes);
    return message_of([&] { run({.calibrator = "mse", .resume = true}); });
  };
  EXPECT_EQ(error("hello"), "this is no checkpoint of a calibration");
  for (size_t n = 20; n < whole.size(); n += 1 + whole.size() / 50) {
    EXPECT_THAT(error(whole.substr(0, n)), HasSubstr("the state of the calibration is damaged: delete")) << n;
    std::string flipped = whole;
    flipped[n] = static_cast<char>(flipped[n] ^ 0x10);
    EXPECT_THAT(error(flipped), HasSubstr("the state of the calibration is damaged")) << n;
  }
  EXPECT_EQ(error(whole), "no error");
}

TEST(CalibrationState, NumbersAndTexts) {
  StateWriter out;
  for (const uint64_t value : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX}) out.number(value);
  out.real(-1.5f);
  out.text("abc");
  StateReader in(out.bytes());
  EXPECT_EQ(in.number(), 0u);
  EXPECT_EQ(in.number(), 127u);
  EXPECT_EQ(in.number(), 128u);
  EXPECT_EQ(in.number(), UINT64_MAX);
  EXPECT_EQ(in.real(), -1.5f);
  EXPECT_EQ(in.text(), "abc");
  EXPECT_TRUE(in.at_end());
  EXPECT_THROW(in.number(), Error);
  EXPECT_THROW(StateReader(std::string(20, '\xff')).number(), Error);
  EXPECT_THROW(StateReader("\x10"
                           "abc")
                   .text(),
               Error);
  EXPECT_THROW(StateReader("\x05").number_up_to(4), Error);
}

}  // namespace
}  // namespace kvant::quant
