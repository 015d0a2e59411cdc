// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/canary/canary.h"

#include <gtest/gtest.h>

namespace kvant::backends::cpu {
namespace {

TEST(BenchCanary, IsOneThatThisCpuRuns) {
  const Canary& one = canary();
  EXPECT_TRUE(supports(one.isa));
  EXPECT_GT(one.macs, 0);
  one.run(1);
  one.run(100);
}

}  // namespace
}  // namespace kvant::backends::cpu
