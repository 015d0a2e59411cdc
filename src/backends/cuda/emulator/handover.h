// SPDX-License-Identifier: Apache-2.0
// What blocks of one launch hand to each other through global memory, watched: the emulator knows no weak
// memory order, so it asks for the fences that make any order right. A block's threads hand over, publish,
// and after a barrier one of them counts the block; the threads of the last one publish again (a fence) and
// take. Counters are zero before and after the launch.
#pragma once

#include <cstdint>
#include <set>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kvant::backends::cuda::emulator {

// Of a thread and of a block.
struct ThreadHandover {
  std::vector<const void*> unpublished;
  uint64_t fence = 0;  // the number of its last one
};
struct BlockHandover {
  uint64_t block = 0;  // its number in the grid
  size_t unpublished = 0;
  bool counted = false;
  uint64_t counted_at = 0;  // the number of the last fence before
};

// Each function gives what is wrong with the operation; "" when nothing is.
class Handover {
 public:
  std::string_view write(ThreadHandover& thread, BlockHandover& block, const void* at);
  void publish(ThreadHandover& thread, BlockHandover& block);
  // `last`: whether this one is the last of `blocks`.
  std::string_view count(BlockHandover& block, uint32_t* counter, uint32_t blocks, bool& last);
  std::string_view read(const ThreadHandover& thread, const BlockHandover& block, const void* at) const;
  // At the end of the launch.
  std::string_view end() const;

 private:
  struct Entry {
    uint64_t block;
    uint64_t fence;  // that published it; 0: none did
  };
  std::unordered_map<const void*, Entry> entries_;
  std::set<const uint32_t*> counters_;
  uint64_t fences_ = 0;
};

}  // namespace kvant::backends::cuda::emulator
