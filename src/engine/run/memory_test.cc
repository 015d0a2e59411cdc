// SPDX-License-Identifier: Apache-2.0
#include "engine/run/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>

#include "base/error.h"
#include "engine/plan/plan.h"

namespace kvant::engine {
namespace {

TEST(EngineMemory, IsZeroAndAlignedWhetherSmallOrLarge) {
  for (const size_t bytes : {size_t{64}, size_t{4096}, size_t{1} << 20, (size_t{5} << 20) + 64}) {
    const Memory memory(bytes);
    const std::span<std::byte> all(memory.data(), bytes);
    EXPECT_EQ(reinterpret_cast<size_t>(memory.data()) % kAlignment, 0u) << bytes;
    EXPECT_TRUE(std::ranges::all_of(all, [](std::byte b) { return b == std::byte{0}; })) << bytes;
    std::ranges::fill(all, std::byte{1});
  }
  EXPECT_EQ(Memory(0).data(), nullptr);
}

TEST(EngineMemory, SaysWhenThereIsNotSoMuch) {
  try {
    const Memory memory(size_t{1} << 62);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("not enough memory for the plan's tensors"));
  }
}

}  // namespace
}  // namespace kvant::engine
