// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace kvant {

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable start, done;
  const std::function<void(int64_t, int64_t)>* fn = nullptr;
  int64_t n = 0;
  uint64_t generation = 0;
  int running = 0;
  int parts = 1;
  bool quit = false;
  std::exception_ptr error;
  std::vector<std::thread> threads;

  void run_part(int part) {
    const int64_t begin = n * part / parts, end = n * (part + 1) / parts;
    try {
      if (begin < end) (*fn)(begin, end);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }

  void work(int part) {
    uint64_t seen = 0;
    while (true) {
      {
        std::unique_lock lock(mutex);
        start.wait(lock, [&] { return quit || generation != seen; });
        if (quit) return;
        seen = generation;
      }
      run_part(part);
      const std::lock_guard lock(mutex);
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  state_->parts = std::max(1, threads);
  for (int i = 1; i < state_->parts; ++i) state_->threads.emplace_back([this, i] { state_->work(i); });
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->quit = true;
  }
  state_->start.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::size() const { return state_->parts; }

void ThreadPool::parallel_for(int64_t n, const std::function<void(int64_t, int64_t)>& fn) {
  if (state_->parts == 1 || n <= 1) {
    if (n > 0) fn(0, n);
    return;
  }
  {
    const std::lock_guard lock(state_->mutex);
    state_->fn = &fn;
    state_->n = n;
    state_->running = state_->parts - 1;
    ++state_->generation;
  }
  state_->start.notify_all();
  state_->run_part(0);
  std::unique_lock lock(state_->mutex);
  state_->done.wait(lock, [&] { return state_->running == 0; });
  if (const std::exception_ptr error = std::exchange(state_->error, nullptr)) std::rethrow_exception(error);
}

}  // namespace kvant
