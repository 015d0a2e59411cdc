// SPDX-License-Identifier: Apache-2.0
// Timed runs with a canary around each: a register-only loop whose speed shows what the machine gave
// meanwhile.
#pragma once

#include <functional>
#include <vector>

#include "base/progress.h"
#include "cli/command.h"

namespace kvant::cli {

struct SamplingOptions {
  int64_t warmup = 0;
  int64_t iterations = 1;
  double seconds = 1e9;  // timed runs end after this, once there are a few
};

// Times in ms and, of the canaries between them, GMAC/s summed over the threads.
struct Samples {
  std::vector<double> ms;      // rising
  std::vector<double> canary;  // rising; empty without canaries

  double at(double share) const;
  double mean() const;
  double peak() const { return canary.empty() ? 0 : canary.back(); }
};

// Runs a job on all threads that the timed work uses, each once.
using OnEachThread = std::function<void(const std::function<void(int, int)>&)>;

// One canary of about 0.1 ms on all threads: GMAC/s of the slowest, times their number.
double canary_gmacs(const OnEachThread& on_each_thread);

Samples take_samples(const std::function<void()>& run, const OnEachThread& on_each_thread,
                     const SamplingOptions& options, Progress& progress);

// {"min", "p10", "median", ...}, and what the canary says: "kind", "peak_gmacs", "share" of its median in its
// peak and, with `macs` of one run, "efficiency": the share of the peak that the median run reached.
Json latency_json(const Samples& samples);
Json canary_json(const Samples& samples, int64_t macs);
// The same as a line for people.
std::string canary_line(const Samples& samples, int64_t macs);

}  // namespace kvant::cli
