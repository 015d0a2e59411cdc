// SPDX-License-Identifier: Apache-2.0
// What a range costs the values that a histogram holds, rounding and clipping together.
#pragma once

#include <span>
#include <vector>

#include "quant/calibrate/value_histogram.h"

namespace kvant::quant {

// The codes of a range: multiples of `step` from -below to above.
struct CodeGrid {
  double step = 0;
  int below = 0, above = 0;
};
// As quantization makes scale and zero point of the range; step 0 for {0, 0}.
CodeGrid grid_of(Range range, const CalibratorOptions& options);

// Sum over all values of (x - Q(x))^2, values spread evenly within their bins of the histogram; with step 0
// every value becomes zero. By cumulative moments: building takes a pass over the bins, each question about
// two look-ups a code.
class SquaredError {
 public:
  explicit SquaredError(const ValueHistogram& histogram);
  double of(const CodeGrid& grid) const;

 private:
  struct Moments {
    double count = 0, sum = 0, squares = 0;
  };
  // One side of zero, by magnitude.
  class Side {
   public:
    explicit Side(const MagnitudeHistogram& magnitudes);
    // Of codes 0 to `top`, the last of which also stands for everything above it.
    double of(double step, int top) const;

   private:
    // Moments of the magnitudes below `limit`. `from` is the bin of an earlier, smaller limit.
    Moments below(double limit, size_t& from) const;
    double around(const Moments& low, const Moments& high, double code) const;
    std::vector<MagnitudeHistogram::Bin> bins_;
    std::vector<Moments> before_;  // of all bins before the i-th; one more at the end
  };
  Side positive_, negative_;
};

}  // namespace kvant::quant
