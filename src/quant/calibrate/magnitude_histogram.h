// SPDX-License-Identifier: Apache-2.0
// Counts of magnitudes with the same relative precision everywhere: each octave [2^e, 2^(e+1)) has 256 equal
// bins, made when first needed. So one outlier costs no precision elsewhere, nothing is ever rescaled, the
// counts do not depend on the order of the values, and memory is bounded by 254 octaves of 2 KiB (a typical
// tensor touches about 30).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

namespace kvant::quant {

class MagnitudeHistogram {
 public:
  // Finite values; below the smallest normal float a magnitude counts as zero.
  void add(std::span<const float> values);
  uint64_t count() const { return count_; }
  // The magnitude below or at which `share` (0 to 1) of the values lie, interpolated within its bin, so
  // within 0.4 % of the exact order statistic. 0 when there are no values.
  float quantile(double share) const;

 private:
  static constexpr int kBinBits = 8;
  static constexpr size_t kBins = size_t{1} << kBinBits;
  using Octave = std::array<uint64_t, kBins>;

  std::array<std::unique_ptr<Octave>, 255> octaves_;  // by biased exponent; 0 is unused
  uint64_t zeros_ = 0;
  uint64_t count_ = 0;
};

}  // namespace kvant::quant
