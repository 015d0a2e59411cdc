// SPDX-License-Identifier: Apache-2.0
// For each tensor the range, of those that the calibrators find, with the least squared error on what was
// seen; of those nearly as good the widest. Nearly: within 10 % at 8 bits, where that much noise is lost in
// the rest and what a network pays for is clipping its strongest responses (MobileNets with ReLU6); in
// proportion to the number of codes below, where rounding decides.
#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "quant/calibrate/quantization_error.h"

namespace kvant::quant {
namespace {

Range max_range(const ValueHistogram& histogram, const CalibratorOptions&) { return histogram.widest(); }

struct Candidate {
  std::string_view name;
  RangeChoice choose;
};

// Of equal ones the first.
constexpr std::array<Candidate, 4> kCandidates = {
    Candidate{"max", max_range}, Candidate{"percentile", percentile_range},
    Candidate{"entropy", entropy_range}, Candidate{"mse", mse_range}};

class AutoCalibrator final : public Calibrator {
 public:
  explicit AutoCalibrator(const CalibratorOptions& options) : options_(options) { check_options(options); }
  void observe(std::span<const float> values) override {
    histogram_.add(values);
    best_.reset();
  }
  Range range() const override { return best().range; }
  std::string_view picked() const override { return best().by; }
  void save(StateWriter& out) const override { histogram_.save(out); }
  void restore(StateReader& in) override {
    histogram_.restore(in);
    best_.reset();
  }

 private:
  struct Choice {
    std::string_view by;
    Range range;
  };

  const Choice& best() const {
    if (!best_) best_ = choose();
    return *best_;
  }

  Choice choose() const {
    const SquaredError errors(histogram_);
    std::array<Range, kCandidates.size()> ranges;
    std::array<double, kCandidates.size()> costs{};
    for (size_t i = 0; i < kCandidates.size(); ++i) {
      ranges[i] = kCandidates[i].choose(histogram_, options_);
      costs[i] = errors.of(grid_of(ranges[i], options_));
    }
    const int top = (1 << (options_.bits - 1)) - 1;
    const double most = (1 + 0.1 * top / 127) * *std::min_element(costs.begin(), costs.end());
    size_t best = kCandidates.size();
    for (size_t i = 0; i < kCandidates.size(); ++i) {
      if (costs[i] > most) continue;
      if (best == kCandidates.size() || ranges[i].amax() > ranges[best].amax()) best = i;
    }
    return {kCandidates[best].name, ranges[best]};
  }

  CalibratorOptions options_;
  ValueHistogram histogram_;
  mutable std::optional<Choice> best_;  // of what the histogram holds
};

}  // namespace

std::unique_ptr<Calibrator> auto_calibrator(const CalibratorOptions& options) {
  return std::make_unique<AutoCalibrator>(options);
}

}  // namespace kvant::quant
