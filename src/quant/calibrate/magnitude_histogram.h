// SPDX-License-Identifier: Apache-2.0
// Counts of magnitudes, fine where quantization is: equal bins within each octave [2^e, 2^(e+1)), 32768 in
// the highest that was seen, half as many in each one below, never fewer than 256. So one outlier costs no
// precision below, and a bin is at most 1/32768 of the largest magnitude or 1/256 of its own. When a higher
// octave appears, the others are merged to the width that they have in the end anyway: the counts depend on
// the values alone, not on their order. Memory is bounded by 1.01 MiB; a typical tensor takes half of it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quant/calibrate/calibration_state.h"

namespace kvant::quant {

class MagnitudeHistogram {
 public:
  struct Bin {
    float low;    // its first magnitude
    float width;  // the next bin begins at low + width (beyond float32 at the very end)
    uint64_t count;
  };

  // Finite values; below the smallest normal float a magnitude counts as zero.
  void add(std::span<const float> values) { add(values, *this, *this); }
  // Each value to the histogram of its sign (that of its sign bit).
  static void add(std::span<const float> values, MagnitudeHistogram& positive, MagnitudeHistogram& negative);
  // As if all values of `other` had been added here.
  void merge(const MagnitudeHistogram& other);

  uint64_t count() const;
  uint64_t zeros() const { return octaves_[0].counts ? octaves_[0].counts[0] : 0; }
  // Bins that hold something, upwards; zeros are in none.
  std::vector<Bin> bins() const;
  // The magnitude below or at which `share` (0 to 1) of the values lie, interpolated within its bin. 0 when
  // there are no values.
  float quantile(double share) const;

  // restore() takes the place of all that was added, and fails on what save() cannot have written.
  void save(StateWriter& out) const;
  void restore(StateReader& in);

 private:
  static constexpr int kMantissaBits = 23, kTopBits = 15, kLeastBits = 8;
  struct Octave {
    std::unique_ptr<uint64_t[]> counts;  // made when first needed
    int shift = 0;                       // of the mantissa, to the bin's index
    size_t size() const { return size_t{1} << (kMantissaBits - shift); }
  };

  static int bits_below_top(uint32_t distance);
  void raise_top(uint32_t exponent);
  // The octave that a biased exponent falls in, made if need be.
  Octave& octave_of(uint32_t exponent);
  static void coarsen(Octave& octave, int bits);

  std::array<Octave, 255> octaves_;  // by biased exponent; 0 has one bin, of zeros
  uint32_t top_ = 0;                 // highest exponent seen
};

}  // namespace kvant::quant
