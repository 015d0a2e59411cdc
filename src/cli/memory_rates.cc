// SPDX-License-Identifier: Apache-2.0
#include "cli/memory_rates.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace kvant::cli {
namespace {

constexpr size_t kNearBytes = 256 * 1024, kFarBytes = size_t{96} * 1024 * 1024;
constexpr int kReadings = 4;

// Each thread reads `bytes` of its own part, `times` over: memchr looks at every byte for one that is not
// there. The pointer is volatile so that no compiler takes the second search for the first.
double rate_of(const OnEachThread& on_each_thread, const std::vector<char>& memory, size_t bytes, int times) {
  double best = 0;
  for (int reading = 0; reading < kReadings; ++reading) {
    std::vector<double> seconds(1024, 0.0);
    int used = 1;
    on_each_thread([&](int thread, int threads) {
      const size_t share = std::min(bytes, memory.size() / static_cast<size_t>(threads));
      const char* volatile from =
          memory.data() + memory.size() / static_cast<size_t>(threads) * static_cast<size_t>(thread);
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < times; ++i) KVANT_CHECK(std::memchr(from, 1, share) == nullptr, "memory changed");
      seconds[static_cast<size_t>(thread)] =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (thread == 0) used = threads;
    });
    const size_t share = std::min(bytes, memory.size() / static_cast<size_t>(used));
    const double slowest = std::max(std::ranges::max(seconds), 1e-9);
    best = std::max(best, static_cast<double>(share) * times * used / slowest * 1e-9);
  }
  return best;
}

}  // namespace

MemoryRates memory_rates(const OnEachThread& on_each_thread) {
  const std::vector<char> memory(kFarBytes, 0);
  return {rate_of(on_each_thread, memory, kNearBytes, 64), rate_of(on_each_thread, memory, kFarBytes, 1)};
}

}  // namespace kvant::cli
