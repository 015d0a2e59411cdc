// SPDX-License-Identifier: Apache-2.0
#include "engine/run/team.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>

namespace kvant::engine {
namespace {

// About 50 microseconds of pauses, longer than the gap between two steps.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

// The cores that the process may use, as they were when this was first asked: pinned threads see fewer.
const std::vector<int>& allowed_cores() {
  static const std::vector<int> cores = [] {
    std::vector<int> list;
    cpu_set_t allowed;
    if (sched_getaffinity(getpid(), sizeof allowed, &allowed) != 0) return list;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &allowed)) list.push_back(core);
    }
    return list;
  }();
  return cores;
}

// Core number `index` (modulo) of those.
void pin_to_core(pthread_t thread, int index) {
  const std::vector<int>& cores = allowed_cores();
  if (cores.empty()) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cores[static_cast<size_t>(index) % cores.size()], &one);
  pthread_setaffinity_np(thread, sizeof one, &one);
}

}  // namespace

void pin_this_thread(int index) { pin_to_core(pthread_self(), index); }

SpinningTeam::SpinningTeam(int threads, bool pin, Waiting waiting)
    : spins_(waiting == Waiting::Spin ? kSpins : 0) {
  for (int i = 1; i < threads; ++i) {
    workers_.emplace_back([this, i] { work(i); });
    if (pin) pin_to_core(workers_.back().native_handle(), i);
  }
}

SpinningTeam::~SpinningTeam() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    ++generation_;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void SpinningTeam::call(int thread) {
  try {
    (*fn_)(thread, size());
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

// True when there is work of a generation after `seen`, false to quit.
bool SpinningTeam::wait_for_work(uint64_t seen) {
  for (int i = 0; i < spins_ && generation_.load(std::memory_order_acquire) == seen; ++i) pause();
  if (generation_.load(std::memory_order_acquire) == seen) {
    std::unique_lock lock(mutex_);
    ++sleeping_;
    wake_.wait(lock, [&] { return generation_.load() != seen; });
    --sleeping_;
  }
  return !quit_.load(std::memory_order_acquire);
}

void SpinningTeam::work(int thread) {
  uint64_t seen = 0;
  while (wait_for_work(seen)) {
    seen = generation_.load(std::memory_order_acquire);
    call(thread);
    const bool last = running_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    if (last && spins_ == 0) {
      { const std::lock_guard lock(mutex_); }
      done_.notify_one();
    }
  }
}

void SpinningTeam::wait_for_workers() {
  if (spins_ == 0) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return running_.load(std::memory_order_acquire) == 0; });
    return;
  }
  for (int i = 0; running_.load(std::memory_order_acquire) > 0; ++i) {
    if (i < spins_) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

void SpinningTeam::run(const std::function<void(int, int)>& fn) {
  fn_ = &fn;
  if (!workers_.empty()) {
    running_.store(static_cast<int>(workers_.size()), std::memory_order_release);
    // Sequentially consistent against sleeping_: a worker that goes to sleep sees the new generation, or we
    // see it.
    generation_.fetch_add(1);
    if (sleeping_.load() > 0) {
      { const std::lock_guard lock(mutex_); }
      wake_.notify_all();
    }
  }
  call(0);
  if (!workers_.empty()) wait_for_workers();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

}  // namespace kvant::engine
