// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"

#include <signal.h>

#include <atomic>

namespace kvant {
namespace {

std::atomic<int> requested{0};
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  request_interrupt(signal);
  // The next one ends the process even if no safe point comes.
  ::signal(signal, SIG_DFL);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void request_interrupt(int signal) noexcept { requested.store(signal); }
int interrupt_requested() noexcept { return requested.load(std::memory_order_relaxed); }

void check_interrupt() {
  if (const int signal = interrupt_requested()) throw Interrupted{signal};
}

}  // namespace kvant
