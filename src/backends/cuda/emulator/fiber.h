// SPDX-License-Identifier: Apache-2.0
// Cooperative threads with stacks of their own: the emulator runs each CUDA thread on one. A switch costs a
// dozen instructions on x86-64; elsewhere <ucontext.h> does it.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace kvant::backends::cuda::emulator {

// A stack between two guard pages; reused through a pool of the thread.
class Stack {
 public:
  static constexpr size_t kBytes = 128 << 10;

  Stack();
  ~Stack();
  Stack(Stack&& other) noexcept : base_(other.base_) { other.base_ = nullptr; }
  Stack& operator=(Stack&&) = delete;
  char* low() const { return base_; }
  void forget();  // for the address sanitizer: no frame stands on it any more

 private:
  char* base_ = nullptr;
};

// The function runs when resume() is first called and hands control back with suspend(); it must end by a
// suspend() that is never resumed, and no exception may leave it. A fiber may be destroyed while suspended:
// what stands on its stack is not destroyed then.
class Fiber {
 public:
  using Function = void (*)(void* argument);
  Fiber(Function function, void* argument);
  Fiber(const Fiber&) = delete;

  void restart();  // from the beginning; what stood on the stack is not destroyed
  void resume();   // called from outside
  void suspend();  // called on the fiber

 private:
  static void enter(Fiber* fiber);
  void switch_stacks(bool inwards);

  Stack stack_;
  Function function_;
  void* argument_;
#if defined(__x86_64__)
  void* inside_ = nullptr;
  void* outside_ = nullptr;
#else
  ucontext_t inside_, outside_;
#endif
  void* fake_stack_inside_ = nullptr;  // of the address sanitizer, as the next three
  void* fake_stack_outside_ = nullptr;
  const void* outer_low_ = nullptr;
  size_t outer_bytes_ = 0;
};

}  // namespace kvant::backends::cuda::emulator
