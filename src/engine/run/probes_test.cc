// SPDX-License-Identifier: Apache-2.0
#include "engine/run/probes.h"

#include <gtest/gtest.h>

namespace kvant::engine {
namespace {

TEST(Probes, AreTheirText) {
  for (const Probe& probe :
       {Probe{.value = "a"}, Probe{.value = "a;b", .permutation = {0, 2, 3, 1}},
        Probe{.value = "a", .permutation = {1, 0}, .offset = 128},
        Probe{.value = "a", .permutation = {0, 2, 3, 1}, .offset = -128, .flat = true}}) {
    EXPECT_EQ(parse_probe(to_string(probe)), probe) << to_string(probe);
  }
}

TEST(Probes, AreRefusedWhenTheyCannotBe) {
  for (const char* text : {"a;perm=0,0", "a;perm=0,x", "a;perm=-1", "a;offset=7", "a;flat=2"}) {
    EXPECT_EQ(parse_probe(text), std::nullopt) << text;
  }
}

// A map of 2 channels and 1x3 pixels is stored pixel by pixel and was flattened channel by channel.
TEST(Probes, BringBackWhatWasFlattenedInTheOtherOrder) {
  const Tensor stored = Tensor::vector<int64_t>({0, 10, 1, 11, 2, 12}).reshaped({1, 1, 3, 2});
  const Tensor original = restore({.value = "x", .permutation = {0, 2, 3, 1}, .flat = true}, stored);
  EXPECT_EQ(original, Tensor::vector<int64_t>({0, 1, 2, 10, 11, 12}).reshaped({1, 6}));
}

}  // namespace
}  // namespace kvant::engine
