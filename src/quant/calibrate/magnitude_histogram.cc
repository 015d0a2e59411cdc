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

void MagnitudeHistogram::make(Octave& octave, int bits) {
  octave.shift = kMantissaBits - bits;
  octave.counts = std::make_unique<uint64_t[]>(octave.size());
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

void MagnitudeHistogram::add(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value) & 0x7fffffffu;
  const uint32_t exponent = bits >> kMantissaBits;
  ++count_;
  if (exponent == 0) {
    ++zeros_;
    return;
  }
  KVANT_DCHECK(exponent < 255, "histogram of a value that is not finite");
  if (exponent > top_) raise_top(exponent);
  Octave& octave = octaves_[exponent];
  if (!octave.counts) make(octave, bits_below_top(top_ - exponent));
  ++octave.counts[(bits & 0x7fffffu) >> octave.shift];
}

void MagnitudeHistogram::add(std::span<const float> values) {
  for (const float x : values) add(x);
}

void MagnitudeHistogram::merge(const MagnitudeHistogram& other) {
  if (other.top_ > top_) raise_top(other.top_);
  for (uint32_t e = 1; e <= other.top_; ++e) {
    const Octave& from = other.octaves_[e];
    if (!from.counts) continue;
    Octave& octave = octaves_[e];
    if (!octave.counts) make(octave, bits_below_top(top_ - e));
    const int drop = octave.shift - from.shift;
    for (size_t i = 0; i < from.size(); ++i) octave.counts[i >> drop] += from.counts[i];
  }
  zeros_ += other.zeros_;
  count_ += other.count_;
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
  const double target = share * static_cast<double>(count_);
  double below = static_cast<double>(zeros_);
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
  out.number(zeros_);
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
  zeros_ = in.number_up_to(kMost);
  count_ = zeros_;
  top_ = static_cast<uint32_t>(in.number_up_to(254));
  for (uint32_t e = 1; e <= top_; ++e) {
    if (in.number_up_to(1) == 0) continue;
    make(octaves_[e], bits_below_top(top_ - e));
    for (size_t i = 0; i < octaves_[e].size(); ++i) {
      octaves_[e].counts[i] = in.number_up_to(kMost);
      count_ += octaves_[e].counts[i];
    }
  }
}

}  // namespace kvant::quant
