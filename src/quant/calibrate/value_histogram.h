// SPDX-License-Identifier: Apache-2.0
// What the calibrators other than `max` know of a tensor: how often each magnitude came on either side of
// zero.
#pragma once

#include <memory>
#include <span>

#include "quant/calibrate/calibrator.h"
#include "quant/calibrate/magnitude_histogram.h"

namespace kvant::quant {

class ValueHistogram {
 public:
  // Finite values.
  void add(std::span<const float> values);
  const MagnitudeHistogram& positive() const { return positive_; }
  const MagnitudeHistogram& negative() const { return negative_; }
  MagnitudeHistogram magnitudes() const;
  // Least and largest value, exact; {0, 0} when there is none.
  Range widest() const { return widest_; }
  // Values beyond +-amax cut off: one-sided data stays one-sided.
  Range cut_at(float amax) const {
    return {std::clamp(widest_.low, -amax, amax), std::clamp(widest_.high, -amax, amax)};
  }

  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  MagnitudeHistogram positive_, negative_;
  Range widest_;
  bool seen_ = false;
};

// Fails on a percentile or bits out of range.
void check_options(const CalibratorOptions& options);
// A calibrator is its way of choosing a range from the histogram.
using RangeChoice = Range (*)(const ValueHistogram& histogram, const CalibratorOptions& options);
std::unique_ptr<Calibrator> histogram_calibrator(RangeChoice choose, const CalibratorOptions& options);

Range percentile_range(const ValueHistogram& histogram, const CalibratorOptions& options);
Range entropy_range(const ValueHistogram& histogram, const CalibratorOptions& options);
Range mse_range(const ValueHistogram& histogram, const CalibratorOptions& options);

}  // namespace kvant::quant
