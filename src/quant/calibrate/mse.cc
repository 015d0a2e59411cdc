// SPDX-License-Identifier: Apache-2.0
// The range with the least mean squared error between the values and their codes, rounding and clipping
// together, among ranges that cut the data at +-c (the definition of pytorch-quantization's "mse" calibrator,
// with c not bound to a histogram's bins).
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "quant/calibrate/quantization_error.h"

namespace kvant::quant {
namespace {

// Searches c between `least` and `most`: 16 steps an octave, then 64 finer ones around each of the best
// three, for the error has several minima when the data is discrete. Of equal ones the largest.
double best_cut(const SquaredError& errors, const ValueHistogram& histogram, const CalibratorOptions& options,
                double least, double most) {
  constexpr int kCoarse = 16, kFine = 64, kCandidates = 3;
  const auto error_at = [&](double cut) {
    return errors.of(grid_of(histogram.cut_at(static_cast<float>(cut)), options));
  };
  std::vector<std::pair<double, double>> tried;  // error, cut
  for (int i = 0;; ++i) {
    const double cut = most * std::exp2(-static_cast<double>(i) / kCoarse);
    if (cut < least && i > 0) break;
    tried.emplace_back(error_at(cut), cut);
  }
  std::stable_sort(tried.begin(), tried.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::pair<double, double> best = tried.front();
  for (size_t k = 0; k < std::min(tried.size(), size_t{kCandidates}); ++k) {
    for (int i = -kFine + 1; i < kFine; ++i) {
      const double cut =
          std::min(tried[k].second * std::exp2(static_cast<double>(i) / (kCoarse * kFine)), most);
      const double error = error_at(cut);
      if (error < best.first || (error == best.first && cut > best.second)) best = {error, cut};
    }
  }
  return best.second;
}

}  // namespace

Range mse_range(const ValueHistogram& histogram, const CalibratorOptions& options) {
  const MagnitudeHistogram magnitudes = histogram.magnitudes();
  const uint64_t nonzero = magnitudes.count() - magnitudes.zeros();
  if (nonzero == 0) return histogram.widest();
  // A range below the median of what is not zero clips most of it: never the best.
  const double median_share = (static_cast<double>(magnitudes.zeros()) + 0.5 * static_cast<double>(nonzero)) /
                              static_cast<double>(magnitudes.count());
  const SquaredError errors(histogram);
  const double cut =
      best_cut(errors, histogram, options, magnitudes.quantile(median_share) / 2, histogram.widest().amax());
  return histogram.cut_at(static_cast<float>(cut));
}

std::unique_ptr<Calibrator> mse_calibrator(const CalibratorOptions& options) {
  return histogram_calibrator(mse_range, options);
}

}  // namespace kvant::quant
