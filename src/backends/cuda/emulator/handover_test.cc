// SPDX-License-Identifier: Apache-2.0
// What the emulator asks of blocks that hand something to each other: every misuse by its message.
#include "backends/cuda/emulator/handover.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kvant::backends::cuda::emulator {
namespace {

using testing::HasSubstr;

// Two blocks of one thread each.
struct Pair {
  Handover handover;
  ThreadHandover thread[2];
  BlockHandover block[2] = {{.block = 0}, {.block = 1}};
  uint32_t counter = 0;
  int place[2] = {};
  bool last = false;

  std::string_view write(int i) { return handover.write(thread[i], block[i], &place[i]); }
  void publish(int i) { handover.publish(thread[i], block[i]); }
  std::string_view count(int i) { return handover.count(block[i], &counter, 2, last); }
  std::string_view read(int i, int from) const { return handover.read(thread[i], block[i], &place[from]); }
};

TEST(Handover, GoesFromOneBlockToTheOther) {
  Pair p;
  for (const int i : {1, 0}) {
    EXPECT_EQ(p.write(i), "");
    EXPECT_EQ(p.read(i, i), "") << "its own";
    p.publish(i);
    EXPECT_EQ(p.count(i), "");
    EXPECT_EQ(p.last, i == 0);
  }
  p.publish(0);
  EXPECT_EQ(p.read(0, 1), "");
  EXPECT_EQ(p.counter, 0u);
  EXPECT_EQ(p.handover.end(), "");
}

TEST(Handover, NamesEachMisuse) {
  Pair p;
  EXPECT_THAT(p.read(0, 1), HasSubstr("what no block of this launch has handed over"));
  p.write(1);
  EXPECT_THAT(p.read(0, 1), HasSubstr("what another block has not published"));
  EXPECT_THAT(p.count(1), HasSubstr("counted before it published"));
  p.publish(1);
  EXPECT_THAT(p.read(0, 1), HasSubstr("without a fence after its own block was counted"));
  EXPECT_EQ(p.count(1), "");
  EXPECT_THAT(p.count(1), HasSubstr("counted twice"));
  EXPECT_THAT(p.write(1), HasSubstr("after it was counted"));
  EXPECT_THAT(p.handover.end(), HasSubstr("not zero at the end"));
  EXPECT_EQ(p.count(0), "");
  EXPECT_THAT(p.read(0, 1), HasSubstr("without a fence after its own block was counted"));
  p.publish(0);
  EXPECT_EQ(p.read(0, 1), "");
  Pair other;
  other.counter = 1;
  EXPECT_THAT(other.count(0), HasSubstr("not zero when the launch begins to count"));
}

}  // namespace
}  // namespace kvant::backends::cuda::emulator
