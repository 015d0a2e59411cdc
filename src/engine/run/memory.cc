// SPDX-License-Identifier: Apache-2.0
#include "engine/run/memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "base/error.h"
#include "engine/plan/plan.h"

namespace kvant::engine {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

// Whole large pages on a boundary of theirs, or nullptr. Fresh pages are zero.
std::byte* map_large(size_t bytes) {
  void* start = mmap(nullptr, bytes + kLargePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  auto* first = static_cast<std::byte*>(start);
  const size_t before = (kLargePage - reinterpret_cast<size_t>(first) % kLargePage) % kLargePage;
  if (before > 0) munmap(first, before);
  if (before < kLargePage) munmap(first + before + bytes, kLargePage - before);
  madvise(first + before, bytes, MADV_HUGEPAGE);  // advice: small pages will do
  return first + before;
}

}  // namespace

Memory::Memory(size_t bytes) {
  if (bytes == 0) return;
  if (bytes >= kLargePage / 2 && bytes < ~size_t{0} - 2 * kLargePage) {
    mapped_ = (bytes + kLargePage - 1) / kLargePage * kLargePage;
    data_ = map_large(mapped_);
    if (data_ == nullptr) fail("not enough memory for the plan's tensors ({} bytes)", bytes);
    return;
  }
  data_ = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kAlignment}, std::nothrow));
  if (data_ == nullptr) fail("not enough memory for the plan's tensors ({} bytes)", bytes);
  std::memset(data_, 0, bytes);
}

Memory::~Memory() {
  if (mapped_ > 0) {
    munmap(data_, mapped_);
  } else {
    ::operator delete (data_, std::align_val_t{kAlignment});
  }
}

}  // namespace kvant::engine
