// SPDX-License-Identifier: Apache-2.0
// Bugs planted into implicit_gemm.cuh: what the tests of conv_test.cc assert must fail for each. A missing
// swizzle gives the right result and shows in the count of bank conflicts.
#include <gtest/gtest.h>

#include "backends/cuda/kernels/conv/conv_cases.h"
#include "backends/cuda/kernels/conv/implicit_gemm.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using device::Fetch;
using device::Planted;
using emulator::Copies;
using emulator::Options;

using Plain = device::Tile<64, 64, 64, 2, 2, 1, 4, 1, Fetch::Copy16>;
using Clustered = device::Tile<64, 64, 128, 2, 2, 2, 4, 4, Fetch::Copy16>;
constexpr const char *kPlain = "mma_64x64x64", *kClustered = "mma_64x64x128_k2_c4";

template <class Tile, Planted kPlanted>
void emulate_planted(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<ConvParams>();
  emulator::run(
      launch, options, counters, Tile::kThreads,
      [](const void* p) { device::implicit_gemm<Tile, kPlanted>(*static_cast<const ConvParams*>(p)); },
      &params);
}

ConvCase planted_case() {
  ConvCase test(conv_shape(9, 10, 64, 72, 3, 1, 1), 5);
  test.set_form(Code::U8, Code::None, Activation::None, false);
  return test;
}

// Whether any schedule gives another result than the definition, or an error.
template <class Tile, Planted kPlanted>
bool is_caught(const char* tactic) {
  const ConvCase test = planted_case();
  const auto expected = test.reference();
  const Kernel kernel{"planted", "planted", 80, emulate_planted<Tile, kPlanted>};
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    for (const Copies copies : {Copies::Lazy, Copies::Eager, Copies::Random}) {
      try {
        if (test.run_kernel(tactic, &kernel, {copies, true, seed}) != expected) return true;
      } catch (const Error&) {
        return true;
      }
    }
  }
  return false;
}

TEST(PlantedBugs, NoneIsNotCaught) {
  EXPECT_FALSE((is_caught<Plain, Planted::None>(kPlain)));
  EXPECT_FALSE((is_caught<Clustered, Planted::None>(kClustered)));
}

TEST(PlantedBugs, AllAreCaught) {
  EXPECT_TRUE((is_caught<Plain, Planted::NoLoopBarrier>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::WaitOneLess>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::NoBarrierBeforeSums>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::NoBarrierAfterSums>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::SwappedB>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::NoPaddingTest>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::NoFlip>(kPlain)));
  EXPECT_TRUE((is_caught<Plain, Planted::NoLastRowTest>(kPlain)));
  EXPECT_TRUE((is_caught<Clustered, Planted::NoFirstClusterBarrier>(kClustered)));
  EXPECT_TRUE((is_caught<Clustered, Planted::NoLastClusterBarrier>(kClustered)));
}

TEST(PlantedBugs, AMissingSwizzleShowsInTheBankConflicts) {
  const ConvCase test = planted_case();
  const Kernel kernel{"planted", "planted", 80, emulate_planted<Plain, Planted::NoSwizzle>};
  emulator::Counters good, bad;
  EXPECT_EQ(test.run(kPlain, {}, &good), test.run_kernel(kPlain, &kernel, {}, &bad));
  EXPECT_EQ(good.ldmatrix_phases, 4 * good.ldmatrix);
  EXPECT_GE(bad.ldmatrix_phases, 16 * bad.ldmatrix);
}

}  // namespace
}  // namespace kvant::backends::cuda
