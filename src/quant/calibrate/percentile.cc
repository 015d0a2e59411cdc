// SPDX-License-Identifier: Apache-2.0
// The magnitude below which a share of all values lies; cut to what was seen, so that one-sided data stays
// one-sided.
#include "base/error.h"
#include "quant/calibrate/value_histogram.h"

namespace kvant::quant {

Range percentile_range(const ValueHistogram& histogram, const CalibratorOptions& options) {
  if (options.percentile == 100) return histogram.widest();
  return histogram.cut_at(histogram.magnitudes().quantile(options.percentile / 100));
}

std::unique_ptr<Calibrator> percentile_calibrator(const CalibratorOptions& options) {
  return histogram_calibrator(percentile_range, options);
}

}  // namespace kvant::quant
