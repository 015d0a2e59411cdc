// SPDX-License-Identifier: Apache-2.0
// The engine's threads under many short tasks. Worth running under -fsanitize=thread as well.
#include "engine/run/team.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <tuple>

namespace kvant::engine {
namespace {

class Teams : public testing::TestWithParam<std::tuple<int, Waiting>> {
 protected:
  static int threads() { return std::get<0>(GetParam()); }
  static Waiting waiting() { return std::get<1>(GetParam()); }
};

TEST_P(Teams, RunEachTaskOnceOnEveryThread) {
  SpinningTeam team(threads(), false, waiting());
  ASSERT_EQ(team.size(), threads());
  // Plain memory on purpose: what a task writes must be seen by the caller and by the next task.
  std::vector<int> counts(static_cast<size_t>(team.size()), 0);
  constexpr int kTasks = 500;
  for (int task = 0; task < kTasks; ++task) {
    team.run([&](int thread, int threads) {
      if (threads == team.size()) ++counts[static_cast<size_t>((thread + task) % threads)];
    });
  }
  for (const int count : counts) EXPECT_EQ(count, kTasks);
}

TEST_P(Teams, WakeFromSleep) {
  SpinningTeam team(threads(), true, waiting());
  std::vector<int> counts(static_cast<size_t>(team.size()), 0);
  for (int task = 0; task < 20; ++task) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than they spin
    team.run([&](int thread, int) { ++counts[static_cast<size_t>(thread)]; });
  }
  for (const int count : counts) EXPECT_EQ(count, 20);
}

TEST_P(Teams, HandOnAnExceptionAndGoOn) {
  SpinningTeam team(threads(), false, waiting());
  std::vector<int> ended(static_cast<size_t>(team.size()), 0);
  for (int task = 0; task < 50; ++task) {
    const auto throwing = [&](int thread, int threads) {
      ++ended[static_cast<size_t>(thread)];
      if (thread == task % threads) throw std::runtime_error("task");
    };
    EXPECT_THROW(team.run(throwing), std::runtime_error);
  }
  for (const int count : ended) EXPECT_EQ(count, 50);
}

TEST_P(Teams, EndWithoutATask) {
  for (int i = 0; i < 50; ++i) {
    const SpinningTeam team(threads(), false, waiting());
    EXPECT_EQ(team.size(), threads());
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, Teams,
                         testing::Combine(testing::Values(1, 2, 3, 4),
                                          testing::Values(Waiting::Spin, Waiting::Sleep)));

}  // namespace
}  // namespace kvant::engine
