// SPDX-License-Identifier: Apache-2.0
// Memory for tests of kernels, between pages that may not be touched: a kernel that reads or writes behind
// its buffers dies on the spot, on whatever instructions it does so. (AddressSanitizer sees what is compiled
// with it, not what a compiler adds afterwards, assembler, or masked loads.)
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

namespace kvant::backends::cpu {

class GuardedBytes {
 public:
  // `bytes` zero bytes, aligned to `alignment` (a power of two), as near to the closed page behind as that
  // allows.
  GuardedBytes(size_t bytes, size_t alignment) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t open = (bytes + page - 1) / page * page;
    mapped_ = open + 2 * page;
    map_ = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map_ == MAP_FAILED) throw std::bad_alloc();
    std::byte* const first = static_cast<std::byte*>(map_) + page;
    if (open > 0 && mprotect(first, open, PROT_READ | PROT_WRITE) != 0) {
      munmap(map_, mapped_);
      throw std::bad_alloc();
    }
    data_ = first + (open - bytes) / alignment * alignment;
  }
  // A copy of `bytes` bytes.
  GuardedBytes(const void* from, size_t bytes, size_t alignment) : GuardedBytes(bytes, alignment) {
    if (bytes > 0) std::memcpy(data_, from, bytes);
  }
  ~GuardedBytes() { munmap(map_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  std::byte* data() const { return data_; }

 private:
  void* map_;
  size_t mapped_;
  std::byte* data_;
};

}  // namespace kvant::backends::cpu
