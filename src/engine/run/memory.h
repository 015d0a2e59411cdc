// SPDX-License-Identifier: Apache-2.0
// Memory of an engine: zeroed, on the arena's alignment, and in large pages where the system has them, so
// that walking over megabytes of weights and activations does not wait for page tables.
#pragma once

#include <cstddef>

namespace kvant::engine {

class Memory {
 public:
  // Fails when there is not so much.
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  size_t mapped_ = 0;  // bytes that were mapped; 0: from the heap
};

}  // namespace kvant::engine
