// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/magnitude_histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "base/error.h"

namespace kvant::quant {

int MagnitudeHistogram::bits_below_top(uint32_t distance) {
  return std::max(kTopBits - static_cast<int>(std::min(distance, 255u)), kLeastBits);
}

MagnitudeHistogram::Octave& MagnitudeHistogram::octave_of(uint32_t exponent) {
  if (exponent > top_) raise_top(exponent);
  Octave& octave = octaves_[exponent];
  if (octave.counts) return octave;
  octave.shift = kMantissaBits - (exponent == 0 ? 0 : bits_below_top(top_ - exponent));
  octave.counts = std::make_unique<uint64_t[]>(octave.size());
  return octave;
}

void MagnitudeHistogram::coarsen(Octave& octave, int bits) {
  const int drop = (kMantissaBits - bits) - octave.shift;
  if (!octave.counts || drop <= 0) return;
  Octave merged{.counts = nullptr, .shift = octave.shift + drop};
  merged.counts = std::make_unique<uint64_t[]>(merged.size());
  for (size_t i = 0; i < octave.size(); ++i) merged.counts[i >> drop] += octave.counts[i];
  octave = std::move(merged);
}

void MagnitudeHistogram::raise_top(uint32_t exponent) {
  for (uint32_t e = 1; e <= top_; ++e) coarsen(octaves_[e], bits_below_top(exponent - e));
  top_ = exponent;
}

void MagnitudeHistogram::add(std::span<const float> values, MagnitudeHistogram& positive,
                             MagnitudeHistogram& negative) {
  // No branch depends on the value, once its octave is there: signs and zeros come in no order.
  MagnitudeHistogram* const sides[] = {&positive, &negative};
  for (const float x : values) {
    const auto bits = std::bit_cast<uint32_t>(x);
    const uint32_t exponent = bits >> kMantissaBits & 0xff;
    KVANT_DCHECK(exponent < 255, "histogram of a value that is not finite");
    MagnitudeHistogram& side = *sides[bits >> 31];
    Octave& octave = side.octaves_[exponent];
    if (!octave.counts) side.octave_of(exponent);
    ++octave.counts[(bits & 0x7fffffu) >> octave.shift];
  }
}

uint64_t MagnitudeHistogram::count() const {
  uint64_t count = 0;
  for (const Octave& octave : octaves_) {
    for (size_t i = 0; octave.counts && i < octave.size(); ++i) count += octave.counts[i];
  }
  return count;
}

void MagnitudeHistogram::merge(const MagnitudeHistogram& other) {
  if (other.top_ > top_) raise_top(other.top_);
  for (uint32_t e = 0; e <= other.top_; ++e) {
    const Octave& from = other.octaves_[e];
    if (!from.counts) continue;
    Octave& octave = octave_of(e);
    const int drop = octave.shift - from.shift;
    for (size_t i = 0; i < from.size(); ++i) octave.counts[i >> drop] += from.counts[i];
  }
}

std::vector<MagnitudeHistogram::Bin> MagnitudeHistogram::bins() const {
  std::vector<Bin> result;
  for (uint32_t e = 1; e <= top_; ++e) {
    const Octave& octave = octaves_[e];
    if (!octave.counts) continue;
    const float width = std::ldexp(1.0f, static_cast<int>(e) - 127 - (kMantissaBits - octave.shift));
    for (size_t i = 0; i < octave.size(); ++i) {
      if (octave.counts[i] == 0) continue;
      const auto mantissa = static_cast<uint32_t>(i << octave.shift);
      result.push_back({std::bit_cast<float>(e << kMantissaBits | mantissa), width, octave.counts[i]});
    }
  }
  return result;
}

float MagnitudeHistogram::quantile(double share) const {
  const double target = share * static_cast<double>(count());
  double below = static_cast<double>(zeros());
  double last = 0;
  if (below >= target) return 0;
  for (const Bin& bin : bins()) {
    const auto here = static_cast<double>(bin.count);
    last = static_cast<double>(bin.low) + static_cast<double>(bin.width);
    if (below + here >= target) {
      last = static_cast<double>(bin.low) + static_cast<double>(bin.width) * (target - below) / here;
      break;
    }
    below += here;
  }
  return static_cast<float>(std::min(last, static_cast<double>(std::numeric_limits<float>::max())));
}

void MagnitudeHistogram::save(StateWriter& out) const {
  out.number(zeros());
  out.number(top_);
  for (uint32_t e = 1; e <= top_; ++e) {
    const Octave& octave = octaves_[e];
    out.number(octave.counts ? 1 : 0);
    if (!octave.counts) continue;
    for (size_t i = 0; i < octave.size(); ++i) out.number(octave.counts[i]);
  }
}

void MagnitudeHistogram::restore(StateReader& in) {
  *this = MagnitudeHistogram();
  constexpr uint64_t kMost = uint64_t{1} << 48;  // so that no sum of counts overflows
  octave_of(0).counts[0] = in.number_up_to(kMost);
  top_ = static_cast<uint32_t>(in.number_up_to(254));
  for (uint32_t e = 1; e <= top_; ++e) {
    if (in.number_up_to(1) == 0) continue;
    Octave& octave = octave_of(e);
    for (size_t i = 0; i < octave.size(); ++i) octave.counts[i] = in.number_up_to(kMost);
  }
}

}  // namespace kvant::quant
