// SPDX-License-Identifier: Apache-2.0
// The engine's threads: they spin for a short while between steps, because a step is often shorter than
// waking a sleeping thread, and sleep when nothing comes. Where others need the cores they sleep at once.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/backend.h"

namespace kvant::engine {

// Keeps the calling thread on core number `index` (modulo) of those that the process may use. For
// measurements; threads that it makes later inherit it.
void pin_this_thread(int index);

// How threads without work wait. Spinning answers in less than a microsecond; sleeping leaves the core to
// others and costs some ten microseconds for each step that several threads share.
enum class Waiting { Spin, Sleep };

class SpinningTeam final : public Team {
 public:
  // `threads` in all, the caller of run() included; with `pin` each worker stays on one of the process's
  // cores.
  SpinningTeam(int threads, bool pin, Waiting waiting = Waiting::Spin);
  ~SpinningTeam() override;
  SpinningTeam(const SpinningTeam&) = delete;
  SpinningTeam& operator=(const SpinningTeam&) = delete;

  int size() const override { return static_cast<int>(workers_.size()) + 1; }
  // The first exception of any thread is rethrown here, after all have ended.
  void run(const std::function<void(int, int)>& fn) override;

 private:
  void work(int thread);
  bool wait_for_work(uint64_t seen);
  void wait_for_workers();
  void call(int thread);

  const int spins_;  // pauses before a waiting thread sleeps
  std::vector<std::thread> workers_;
  const std::function<void(int, int)>* fn_ = nullptr;
  // What different threads write lies on different cache lines.
  alignas(64) std::atomic<uint64_t> generation_{0};
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int> sleeping_{0};
  std::atomic<bool> quit_{false};
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::exception_ptr error_;
};

}  // namespace kvant::engine
