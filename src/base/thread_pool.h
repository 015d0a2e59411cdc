// SPDX-License-Identifier: Apache-2.0
// A fixed set of workers for loops over independent items. The engine's executor has its own spinning team.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace kvant {

// Cores that this process may use (affinity respected), at least 1.
int available_cores();

class ThreadPool {
 public:
  // `threads` workers in all, the caller included; 1 runs everything in the caller.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  int size() const;
  // Calls fn(begin, end) over a split of [0, n) into at most size() equal parts, and waits. The split depends
  // only on n and size(). The first exception thrown by a part is rethrown here. Not reentrant.
  void parallel_for(int64_t n, const std::function<void(int64_t, int64_t)>& fn);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kvant
