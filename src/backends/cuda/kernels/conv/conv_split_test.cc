// SPDX-License-Identifier: Apache-2.0
// Tiles whose inner dimension is shared by blocks through global memory: the last of them, whichever that is,
// finishes the tile; the counters are zero again; runs at the same time keep apart; planted bugs are named.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <utility>

#include "backends/cuda/kernels/conv/conv_cases.h"
#include "backends/cuda/kernels/conv/conv_tactic.h"
#include "backends/cuda/kernels/conv/implicit_gemm.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

using device::Planted;
using emulator::Copies;
using emulator::Options;
using testing::HasSubstr;

using Shared = device::Tile<64, 64, 128, 2, 2, 2, 4, 1, device::Fetch::Copy16, 4>;
constexpr const char* kShared = "mma_64x64x128_k2_s4";

ConvCase shared_case(const ConvShape& shape, uint64_t seed) {
  ConvCase test(shape, seed);
  test.set_form(Code::U8, Code::U8, Activation::None, false);
  return test;
}

std::vector<std::string> split_tactics() {
  std::vector<std::string> names;
  for (const ConvTactic& tactic : all_conv_tactics()) {
    if (tactic.split > 1) names.push_back(tactic.name);
  }
  return names;
}

// Blocks in any order and at the same time, several runs on the same counters; with 9 steps for 8 blocks and
// with fewer steps than blocks.
TEST(SharedTiles, AnyBlockMayBeTheLast) {
  ASSERT_GE(split_tactics().size(), 3u);
  for (const ConvShape& shape : {conv_shape(5, 6, 128, 72, 3, 1, 1), conv_shape(9, 8, 64, 72, 2, 1, 0)}) {
    const ConvCase test = shared_case(shape, 3);
    const auto expected = test.reference();
    for (const std::string& tactic : split_tactics()) {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        const Options options{seed % 2 == 0 ? Copies::Random : Copies::Lazy, true, seed};
        EXPECT_EQ(test.run_kernel(tactic, nullptr, options, nullptr, 3), expected)
            << tactic << " on " << to_text(shape) << " seed " << seed;
      }
    }
  }
}

TEST(SharedTiles, HaveRoomOfTheirOwn) {
  const ConvDesc desc = ConvCase(conv_shape(7, 7, 512, 512, 3, 1, 1), 1).desc;
  EXPECT_EQ(conv_room(desc, "mma_64x64x128_k2_s8").scratch_bytes, 8u * 8 * 64 * 64 * 4);
  EXPECT_EQ(conv_room(desc, "mma_64x64x128_k2_s8").counter_bytes, 8u * 4);
  EXPECT_EQ(conv_room(desc, "mma_64x64x64").scratch_bytes, 0u);
  EXPECT_EQ(conv_room(desc, "mma_64x64x64").counter_bytes, 0u);
  EXPECT_EQ(conv_packed_bytes(desc, kShared), conv_packed_bytes(desc, "mma_64x64x128_k2"))
      << "nothing that changes lies among the constants";
}

TEST(SharedTiles, AreRefusedWhereTilesAreMany) {
  ConvDesc desc = ConvCase(conv_shape(1, 1, 64, 64, 1, 1, 0), 1).desc;
  desc.shape.w = desc.shape.wo = 64 * 256;
  EXPECT_GT(conv_packed_bytes(desc, kShared), 0u);
  desc.shape.w = desc.shape.wo = 64 * 256 + 1;
  try {
    conv_room(desc, kShared);
    ADD_FAILURE() << "not refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("257 tiles fill a card without blocks that share them"));
  }
}

// What a block of the first run does before it begins; nothing for others.
std::function<void()> between;

void emulate_interrupted(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<ConvParams>();
  emulator::run(
      launch, options, counters, Shared::kThreads,
      [](const void* p) {
        if (device::thread_index() == 0 && device::block_z() == 2 && between) {
          std::thread other(std::exchange(between, nullptr));  // fibers of two runs do not share a thread
          other.join();
        }
        device::implicit_gemm<Shared>(*static_cast<const ConvParams*>(p));
      },
      &params);
}

// Two engines on a card read the same constants. One runs from its first block to its last while the tiles of
// the other are half done.
std::string run_interleaved(bool same_counters) {
  const ConvCase first = shared_case(conv_shape(5, 6, 64, 72, 3, 1, 1), 11);
  ConvCase second = first;
  for (uint8_t& code : second.x) code = static_cast<uint8_t>(second.random.next());
  const Kernel interrupted{"interrupted", "interrupted", 80, emulate_interrupted};
  PreparedConv one(first, kShared), two(second, kShared, &one.own);
  one.launch.kernel = &interrupted;
  if (same_counters) {
    auto params = two.launch.params_as<ConvParams>();
    params.arrivals = one.launch.params_as<ConvParams>().arrivals;
    two.launch.set_params(params);
  }
  std::string other_error;
  between = [&] {
    try {
      two.launch.kernel->emulate(two.launch, {}, nullptr);
    } catch (const Error& error) {
      other_error = error.what();
    }
  };
  try {
    one.launch.kernel->emulate(one.launch, {}, nullptr);
    if (!other_error.empty()) return other_error;
    if (between) return "the second did not run";
    if (one.result() != first.reference()) return "the first is wrong";
    if (two.result() != second.reference()) return "the second is wrong";
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(SharedTiles, OfTwoEnginesAtOnceKeepApart) {
  EXPECT_EQ(run_interleaved(false), "");
  EXPECT_THAT(run_interleaved(true), HasSubstr("a counter of blocks is not zero when the launch begins"));
}

template <Planted kPlanted>
void emulate_split(const Launch& launch, const Options& options, emulator::Counters* counters) {
  const auto params = launch.params_as<ConvParams>();
  emulator::run(
      launch, options, counters, Shared::kThreads,
      [](const void* p) { device::implicit_gemm<Shared, kPlanted>(*static_cast<const ConvParams*>(p)); },
      &params);
}

// What is wrong with the kernel, in the fast schedule and in random ones.
template <Planted kPlanted>
std::vector<std::string> faults() {
  const ConvCase test = shared_case(conv_shape(5, 6, 64, 40, 3, 1, 1), 5);
  const auto expected = test.reference();
  const Kernel kernel{"planted", "planted", 80, emulate_split<kPlanted>};
  std::vector<std::string> faults;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    try {
      const bool right = test.run_kernel(kShared, &kernel, {Copies::Lazy, seed > 1, seed}) == expected;
      faults.emplace_back(right ? "" : "wrong");
    } catch (const Error& error) {
      faults.emplace_back(error.what());
    }
  }
  return faults;
}

TEST(SharedTiles, EachPlantedBugIsNamed) {
  using testing::Each;
  EXPECT_THAT(faults<Planted::None>(), Each(""));
  EXPECT_THAT(faults<Planted::NoFenceBeforeArrival>(),
              Each(HasSubstr("a block is counted before it published what it hands over")));
  EXPECT_THAT(faults<Planted::NoBarrierBeforeArrival>(),
              Each(testing::AnyOf(HasSubstr("a block hands something over after it was counted"),
                                  HasSubstr("a block is counted before it published"))));
  EXPECT_THAT(faults<Planted::NoFenceAfterArrival>(),
              Each(HasSubstr("without a fence after its own block was counted")));
  EXPECT_THAT(faults<Planted::LastTooEarly>(),
              Each(testing::AnyOf(HasSubstr("takes over what no block of this launch has handed over"),
                                  HasSubstr("takes over what another block has not published"),
                                  HasSubstr("is not zero at the end of the launch"), "wrong")));
  EXPECT_THAT(faults<Planted::NoReset>(),
              Each(HasSubstr("a counter of blocks is not zero at the end of the launch")));
  EXPECT_THAT(faults<Planted::OtherSlice>(), Each(HasSubstr("what no block of this launch has handed over")));
}

}  // namespace
}  // namespace kvant::backends::cuda
