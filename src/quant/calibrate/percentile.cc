// SPDX-License-Identifier: Apache-2.0
// The magnitude below which a share of all values lies; cut to what was seen, so that one-sided data stays
// one-sided.
#include "base/error.h"
#include "quant/calibrate/calibrator.h"
#include "quant/calibrate/magnitude_histogram.h"

namespace kvant::quant {

std::unique_ptr<Calibrator> max_calibrator(const CalibratorOptions&);

namespace {

class PercentileCalibrator final : public Calibrator {
 public:
  explicit PercentileCalibrator(const CalibratorOptions& options)
      : percentile_(options.percentile), widest_(max_calibrator(options)) {
    if (!(percentile_ > 0 && percentile_ <= 100)) {
      fail("percentile {}: it must be above 0 and at most 100", percentile_);
    }
  }
  void observe(std::span<const float> values) override {
    histogram_.add(values);
    widest_->observe(values);
  }
  Range range() const override {
    const Range widest = widest_->range();
    if (percentile_ == 100) return widest;
    const float cut = histogram_.quantile(percentile_ / 100);
    return {std::clamp(widest.low, -cut, cut), std::clamp(widest.high, -cut, cut)};
  }

 private:
  double percentile_;
  MagnitudeHistogram histogram_;
  std::unique_ptr<Calibrator> widest_;
};

}  // namespace

std::unique_ptr<Calibrator> percentile_calibrator(const CalibratorOptions& options) {
  return std::make_unique<PercentileCalibrator>(options);
}

}  // namespace kvant::quant
