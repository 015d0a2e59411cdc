// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <vector>

#include "base/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define KVANT_FIBER_ASAN 1
#endif

namespace kvant::backends::cuda::emulator {
namespace {

constexpr size_t kGuardBytes = 4096;

class StackPool {
 public:
  ~StackPool() {
    for (char* base : free_) munmap(base - kGuardBytes, Stack::kBytes + 2 * kGuardBytes);
  }
  char* take() {
    if (free_.empty()) return map();
    char* base = free_.back();
    free_.pop_back();
    return base;
  }
  void give_back(char* base) { free_.push_back(base); }

 private:
  static char* map() {
    const size_t bytes = Stack::kBytes + 2 * kGuardBytes;
    void* all = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED) fail("emulator: no memory for the stack of a thread");
    char* base = static_cast<char*>(all) + kGuardBytes;
    if (mprotect(base, Stack::kBytes, PROT_READ | PROT_WRITE) != 0)
      fail("emulator: no memory for the stack of a thread");
    return base;
  }
  std::vector<char*> free_;
};

thread_local StackPool pool;

}  // namespace

Stack::Stack() : base_(pool.take()) {}

Stack::~Stack() {
  if (base_ == nullptr) return;
  forget();
  pool.give_back(base_);
}

void Stack::forget() {
#if defined(KVANT_FIBER_ASAN)
  __asan_unpoison_memory_region(base_, kBytes);
#endif
}

Fiber::Fiber(Function function, void* argument) : function_(function), argument_(argument) { restart(); }

#if defined(__x86_64__)

// Saves what a call preserves (System V) on this stack, and the stack pointer at *save; continues on `to`.
extern "C" void kvant_fiber_switch(void** save, void* to);
asm(R"(
.text
.weak kvant_fiber_switch
.type kvant_fiber_switch,@function
kvant_fiber_switch:
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kvant_fiber_switch,.-kvant_fiber_switch
.weak kvant_fiber_entry
.type kvant_fiber_entry,@function
kvant_fiber_entry:
  endbr64
  movq %r12, %rdi
  xorl %ebp, %ebp
  callq *%r13
  ud2
.size kvant_fiber_entry,.-kvant_fiber_entry
)");
extern "C" void kvant_fiber_entry();

void Fiber::restart() {
  stack_.forget();
  auto** top = reinterpret_cast<void**>(stack_.low() + Stack::kBytes - 64);  // a multiple of 16
  *--top = reinterpret_cast<void*>(&kvant_fiber_entry);  // it calls, so the stack is a multiple of 16 there
  *--top = nullptr;                                      // rbp
  *--top = nullptr;                                      // rbx
  *--top = this;                                         // r12
  *--top = reinterpret_cast<void*>(&Fiber::enter);       // r13
  *--top = nullptr;                                      // r14
  *--top = nullptr;                                      // r15
  inside_ = top;
}

void Fiber::switch_stacks(bool inwards) {
  if (inwards) {
    kvant_fiber_switch(&outside_, inside_);
  } else {
    kvant_fiber_switch(&inside_, outside_);
  }
}

#else

void Fiber::restart() {
  stack_.forget();
  if (getcontext(&inside_) != 0) fail("emulator: no context for a thread");
  inside_.uc_stack.ss_sp = stack_.low();
  inside_.uc_stack.ss_size = Stack::kBytes;
  inside_.uc_link = nullptr;
  const auto bits = reinterpret_cast<uintptr_t>(this);
  const auto start = [](unsigned high, unsigned low) {
    enter(reinterpret_cast<Fiber*>(static_cast<uintptr_t>(high) << 32 | low));
  };
  using Start = void (*)(unsigned, unsigned);
  makecontext(&inside_, reinterpret_cast<void (*)()>(static_cast<Start>(start)), 2,
              static_cast<unsigned>(bits >> 32), static_cast<unsigned>(bits));
}

void Fiber::switch_stacks(bool inwards) {
  if (inwards) {
    swapcontext(&outside_, &inside_);
  } else {
    swapcontext(&inside_, &outside_);
  }
}

#endif

void Fiber::enter(Fiber* fiber) {
#if defined(KVANT_FIBER_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &fiber->outer_low_, &fiber->outer_bytes_);
#endif
  fiber->function_(fiber->argument_);
}

void Fiber::resume() {
#if defined(KVANT_FIBER_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_outside_, stack_.low(), Stack::kBytes);
#endif
  switch_stacks(true);
#if defined(KVANT_FIBER_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_outside_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(KVANT_FIBER_ASAN)
  __sanitizer_start_switch_fiber(&fake_stack_inside_, outer_low_, outer_bytes_);
#endif
  switch_stacks(false);
#if defined(KVANT_FIBER_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack_inside_, &outer_low_, &outer_bytes_);
#endif
}

}  // namespace kvant::backends::cuda::emulator
