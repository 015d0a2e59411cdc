// SPDX-License-Identifier: Apache-2.0
// Ctrl-C as an exception at safe points, so that destructors run and no half file stays.
#pragma once

namespace kvant {

// Installs handlers for SIGINT and SIGTERM that only set a flag; a second signal ends the process at once.
void catch_interrupts();
// Set by the handler (or by a test).
void request_interrupt(int signal) noexcept;
// 0, or the signal that asked us to stop.
int interrupt_requested() noexcept;
// Throws Interrupted if a signal has asked us to stop. Called once per batch, per file, per tactic.
void check_interrupt();

struct Interrupted {
  int signal;
};

}  // namespace kvant
