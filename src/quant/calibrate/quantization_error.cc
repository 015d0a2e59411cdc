// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/quantization_error.h"

#include <algorithm>
#include <cmath>

namespace kvant::quant {

CodeGrid grid_of(Range range, const CalibratorOptions& options) {
  if (options.codes == Codes::Symmetric) {
    const int top = (1 << (options.bits - 1)) - 1;
    // Below 8 bits a Clip keeps the codes symmetric; int8 saturates at -128.
    return {static_cast<double>(range.amax()) / top, options.bits == 8 ? top + 1 : top, top};
  }
  const double low = std::min(static_cast<double>(range.low), 0.0);
  const double high = std::max(static_cast<double>(range.high), 0.0);
  const int codes = (1 << options.bits) - 1;
  const double step = (high - low) / codes;
  if (step == 0) return {};
  const int below = std::clamp(static_cast<int>(std::nearbyint(-low / step)), 0, codes);
  return {step, below, codes - below};
}

SquaredError::Side::Side(const MagnitudeHistogram& magnitudes) : bins_(magnitudes.bins()) {
  before_.resize(bins_.size() + 1);
  for (size_t i = 0; i < bins_.size(); ++i) {
    const double n = static_cast<double>(bins_[i].count), low = bins_[i].low, width = bins_[i].width;
    before_[i + 1].count = before_[i].count + n;
    before_[i + 1].sum = before_[i].sum + n * (low + width / 2);
    before_[i + 1].squares = before_[i].squares + n * (low * low + low * width + width * width / 3);
  }
}

SquaredError::Moments SquaredError::Side::below(double limit, size_t& from) const {
  while (from < bins_.size() && static_cast<double>(bins_[from].low) < limit) ++from;
  if (from == 0) return {};
  const size_t i = from - 1;  // the last bin that begins below the limit
  const double low = bins_[i].low, width = bins_[i].width;
  if (limit >= low + width) return before_[i + 1];
  const double part = limit - low, n = static_cast<double>(bins_[i].count) * part / width;
  return {before_[i].count + n, before_[i].sum + n * (low + part / 2),
          before_[i].squares + n * (low * low + low * part + part * part / 3)};
}

double SquaredError::Side::around(const Moments& low, const Moments& high, double code) const {
  const double count = high.count - low.count, sum = high.sum - low.sum, squares = high.squares - low.squares;
  return std::max(squares - 2 * code * sum + code * code * count, 0.0);
}

double SquaredError::Side::of(double step, int top) const {
  double error = 0;
  size_t from = 0;
  Moments low;
  for (int code = 0; code < top; ++code) {
    const Moments high = below((code + 0.5) * step, from);
    error += around(low, high, code * step);
    low = high;
  }
  return error + around(low, before_.back(), top * step);
}

SquaredError::SquaredError(const ValueHistogram& histogram)
    : positive_(histogram.positive()), negative_(histogram.negative()) {}

double SquaredError::of(const CodeGrid& grid) const {
  return positive_.of(grid.step, grid.above) + negative_.of(grid.step, grid.below);
}

}  // namespace kvant::quant
