// SPDX-License-Identifier: Apache-2.0
// For each tensor the calibrator whose range quantizes what was seen with the least error.
#include <array>
#include <string_view>
#include <utility>

#include "quant/calibrate/quantization_error.h"

namespace kvant::quant {
namespace {

constexpr double kPower = 2.4;

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
  void observe(std::span<const float> values) override { histogram_.add(values); }
  Range range() const override { return best().second; }
  std::string_view picked() const override { return best().first; }
  void save(StateWriter& out) const override { histogram_.save(out); }
  void restore(StateReader& in) override { histogram_.restore(in); }

 private:
  std::pair<std::string_view, Range> best() const {
    std::pair<std::string_view, Range> best;
    double least = 0;
    for (const Candidate& candidate : kCandidates) {
      const Range range = candidate.choose(histogram_, options_);
      const double error = quantization_error(histogram_, grid_of(range, options_), kPower);
      if (!best.first.empty() && !(error < least)) continue;
      best = {candidate.name, range};
      least = error;
    }
    return best;
  }

  CalibratorOptions options_;
  ValueHistogram histogram_;
};

}  // namespace

std::unique_ptr<Calibrator> auto_calibrator(const CalibratorOptions& options) {
  return std::make_unique<AutoCalibrator>(options);
}

}  // namespace kvant::quant
