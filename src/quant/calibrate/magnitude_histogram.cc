// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/magnitude_histogram.h"

#include <bit>
#include <cmath>

#include "base/error.h"

namespace kvant::quant {

void MagnitudeHistogram::add(std::span<const float> values) {
  for (const float x : values) {
    const uint32_t bits = std::bit_cast<uint32_t>(x) & 0x7fffffffu;
    const uint32_t exponent = bits >> 23;
    if (exponent == 0) {
      ++zeros_;
      continue;
    }
    KVANT_DCHECK(exponent < 255, "histogram of a value that is not finite");
    std::unique_ptr<Octave>& octave = octaves_[exponent];
    if (!octave) octave = std::make_unique<Octave>();
    ++(*octave)[(bits >> (23 - kBinBits)) & (kBins - 1)];
  }
  count_ += values.size();
}

float MagnitudeHistogram::quantile(double share) const {
  const double target = share * static_cast<double>(count_);
  double below = static_cast<double>(zeros_);
  float last = 0;
  if (below >= target) return 0;
  for (uint32_t exponent = 1; exponent < octaves_.size(); ++exponent) {
    if (!octaves_[exponent]) continue;
    for (uint32_t bin = 0; bin < kBins; ++bin) {
      const auto here = static_cast<double>((*octaves_[exponent])[bin]);
      if (here == 0) continue;
      const double low = std::bit_cast<float>(exponent << 23 | bin << (23 - kBinBits));
      const double width = std::ldexp(1.0, static_cast<int>(exponent) - 127 - kBinBits);
      if (below + here >= target) return static_cast<float>(low + width * (target - below) / here);
      below += here;
      last = static_cast<float>(low + width);
    }
  }
  return last;
}

}  // namespace kvant::quant
