// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulator/handover.h"

namespace kvant::backends::cuda::emulator {

std::string_view Handover::write(ThreadHandover& thread, BlockHandover& block, const void* at) {
  if (block.counted) return "a block hands something over after it was counted";
  entries_[at] = {block.block, 0};
  thread.unpublished.push_back(at);
  ++block.unpublished;
  return "";
}

void Handover::publish(ThreadHandover& thread, BlockHandover& block) {
  thread.fence = ++fences_;
  for (const void* at : thread.unpublished) entries_.at(at).fence = fences_;
  block.unpublished -= thread.unpublished.size();
  thread.unpublished.clear();
}

std::string_view Handover::count(BlockHandover& block, uint32_t* counter, uint32_t blocks, bool& last) {
  if (block.counted) return "a block is counted twice";
  if (block.unpublished > 0) return "a block is counted before it published what it hands over";
  if (counters_.insert(counter).second && *counter != 0)
    return "a counter of blocks is not zero when the launch begins to count";
  block.counted = true;
  block.counted_at = fences_;
  last = *counter == blocks - 1;
  *counter = *counter >= blocks - 1 ? 0 : *counter + 1;
  return "";
}

std::string_view Handover::read(const ThreadHandover& thread, const BlockHandover& block,
                                const void* at) const {
  const auto found = entries_.find(at);
  if (found == entries_.end()) return "it takes over what no block of this launch has handed over";
  const Entry& entry = found->second;
  if (entry.block == block.block) return "";
  if (entry.fence == 0) return "it takes over what another block has not published";
  if (!block.counted || thread.fence <= block.counted_at)
    return "it takes over what another block has published without a fence after its own block was counted";
  return "";
}

std::string_view Handover::end() const {
  for (const uint32_t* counter : counters_) {
    if (*counter != 0) return "a counter of blocks is not zero at the end of the launch";
  }
  return "";
}

}  // namespace kvant::backends::cuda::emulator
