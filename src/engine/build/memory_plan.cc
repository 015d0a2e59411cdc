// SPDX-License-Identifier: Apache-2.0
#include "engine/build/memory_plan.h"

#include <algorithm>
#include <limits>

namespace kvant::engine {
namespace {

struct Block {
  ir::ValueId value;
  size_t bytes;
  LiveRange live;
  size_t offset = 0;
};

// The smallest gap of at least block.bytes between `placed` ones alive at the same time; else after them.
size_t best_offset(const Block& block, const std::vector<Block>& placed) {
  std::vector<std::pair<size_t, size_t>> taken;
  for (const Block& other : placed) {
    if (other.live.overlaps(block.live)) taken.emplace_back(other.offset, other.offset + other.bytes);
  }
  std::ranges::sort(taken);
  size_t best = std::numeric_limits<size_t>::max(), best_gap = best, end = 0;
  for (const auto& [begin, stop] : taken) {
    if (begin >= end && begin - end >= block.bytes && begin - end < best_gap) {
      best = end;
      best_gap = begin - end;
    }
    end = std::max(end, stop);
  }
  return best == std::numeric_limits<size_t>::max() ? end : best;
}

// Places blocks one after the other; returns the bytes that they take.
size_t place(std::vector<Block>& blocks) {
  std::vector<Block> placed;
  size_t bytes = 0;
  for (Block& block : blocks) {
    block.offset = best_offset(block, placed);
    bytes = std::max(bytes, block.offset + block.bytes);
    placed.push_back(block);
  }
  return bytes;
}

}  // namespace

void plan_memory(Plan& plan) {
  std::vector<Block> blocks;
  for (const auto& [id, range] : live_ranges(plan)) {
    const size_t bytes = (value_bytes(plan.graph, id) + kAlignment - 1) / kAlignment * kAlignment;
    blocks.push_back({id, bytes, range});
  }
  // Largest first is best for most networks, in the order of their making for some.
  std::ranges::stable_sort(blocks, {}, [](const Block& block) { return block.live.first; });
  std::vector<Block> by_size = blocks;
  std::ranges::stable_sort(by_size, std::greater<>(), &Block::bytes);
  const size_t size_bytes = place(by_size), time_bytes = place(blocks);
  plan.arena_bytes = std::min(size_bytes, time_bytes);
  plan.offsets.assign(plan.graph.value_capacity(), kNoOffset);
  for (const Block& block : size_bytes <= time_bytes ? by_size : blocks)
    plan.offsets[static_cast<size_t>(block.value)] = static_cast<int64_t>(block.offset);
}

}  // namespace kvant::engine
