// SPDX-License-Identifier: Apache-2.0
#include "cli/sampling.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "backends/cpu/kernels/canary/canary.h"
#include "base/interrupt.h"

namespace kvant::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kCanaryIterations = 10'000;  // about 0.1 ms on AVX-512
constexpr size_t kFewest = 5;                  // samples, whatever the time limit

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double Samples::at(double share) const {
  return ms[std::min(ms.size() - 1, static_cast<size_t>(share * static_cast<double>(ms.size())))];
}

double Samples::mean() const {
  return std::accumulate(ms.begin(), ms.end(), 0.0) / static_cast<double>(ms.size());
}

double canary_gmacs(const OnEachThread& on_each_thread) {
  const backends::cpu::Canary& canary = backends::cpu::canary();
  std::vector<double> seconds(1024, 0.0);
  int used = 1;
  on_each_thread([&](int thread, int threads) {
    const auto start = Clock::now();
    canary.run(kCanaryIterations);
    seconds[static_cast<size_t>(thread)] = seconds_since(start);
    if (thread == 0) used = threads;
  });
  const double slowest = std::ranges::max(seconds);
  return static_cast<double>(canary.macs * kCanaryIterations) * used / slowest * 1e-9;
}

Samples take_samples(const std::function<void()>& run, const OnEachThread& on_each_thread,
                     const SamplingOptions& options, Progress& progress) {
  Samples samples;
  for (int64_t i = 0; i < options.warmup; ++i) {
    check_interrupt();
    run();
  }
  const auto begin = Clock::now();
  progress.begin("timing", options.iterations, "runs");
  samples.canary.push_back(canary_gmacs(on_each_thread));
  for (int64_t i = 0; i < options.iterations; ++i) {
    check_interrupt();
    const auto start = Clock::now();
    run();
    samples.ms.push_back(1000 * seconds_since(start));
    samples.canary.push_back(canary_gmacs(on_each_thread));
    progress.update(i + 1, "");
    if (samples.ms.size() >= kFewest && seconds_since(begin) > options.seconds) break;
  }
  progress.end();
  std::ranges::sort(samples.ms);
  std::ranges::sort(samples.canary);
  return samples;
}

Json latency_json(const Samples& samples) {
  return {{"min", samples.ms.front()}, {"p10", samples.at(0.1)}, {"median", samples.at(0.5)},
          {"mean", samples.mean()},    {"p90", samples.at(0.9)}, {"p99", samples.at(0.99)},
          {"max", samples.ms.back()}};
}

Json canary_json(const Samples& samples, int64_t macs) {
  if (samples.canary.empty()) return nullptr;
  const double median = samples.canary[samples.canary.size() / 2];
  Json json = {{"kind", backends::cpu::canary().name},
               {"peak_gmacs", samples.peak()},
               {"share", median / samples.peak()}};
  if (macs > 0) {
    const auto share = [&](double ms) { return static_cast<double>(macs) * 1e-6 / ms / samples.peak(); };
    json["efficiency"] = share(samples.at(0.5));
    json["best_efficiency"] = share(samples.ms.front());
  }
  return json;
}

std::string canary_line(const Samples& samples, int64_t macs) {
  const Json json = canary_json(samples, macs);
  std::string text =
      fmt::format("canary       peak {:.0f} GMAC/s ({}), median {:.0f} % of it", samples.peak(),
                  json["kind"].get<std::string>(), 100 * json["share"].get<double>());
  if (macs > 0) {
    text += fmt::format("; the median run has {:.1f} % of the peak, the best {:.1f} %",
                        100 * json["efficiency"].get<double>(), 100 * json["best_efficiency"].get<double>());
  }
  return text + "\n";
}

}  // namespace kvant::cli
