// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/value_histogram.h"

#include "base/error.h"

namespace kvant::quant {

void ValueHistogram::add(std::span<const float> values) {
  if (values.empty()) return;
  MagnitudeHistogram::add(values, positive_, negative_);
  if (!seen_) widest_ = {values[0], values[0]};
  seen_ = true;
  float low = widest_.low, high = widest_.high;
  for (const float x : values) {
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  widest_ = {low + 0.0f, high + 0.0f};  // no negative zero, which would depend on the order
}

MagnitudeHistogram ValueHistogram::magnitudes() const {
  MagnitudeHistogram all;
  all.merge(positive_);
  all.merge(negative_);
  return all;
}

void ValueHistogram::save(StateWriter& out) const {
  out.number(seen_ ? 1 : 0);
  positive_.save(out);
  negative_.save(out);
  out.real(widest_.low);
  out.real(widest_.high);
}

void ValueHistogram::restore(StateReader& in) {
  seen_ = in.number_up_to(1) == 1;
  positive_.restore(in);
  negative_.restore(in);
  widest_.low = in.real();
  widest_.high = in.real();
  if (widest_.low > widest_.high) StateReader::refuse();
}

void check_options(const CalibratorOptions& options) {
  if (!(options.percentile > 0 && options.percentile <= 100)) {
    fail("percentile {}: it must be above 0 and at most 100", options.percentile);
  }
  if (options.bits < 2 || options.bits > 8) fail("{} bits: quantization takes 2 to 8", options.bits);
}

namespace {

class HistogramCalibrator final : public Calibrator {
 public:
  HistogramCalibrator(RangeChoice choose, const CalibratorOptions& options)
      : choose_(choose), options_(options) {}
  void observe(std::span<const float> values) override { histogram_.add(values); }
  Range range() const override { return choose_(histogram_, options_); }
  void save(StateWriter& out) const override { histogram_.save(out); }
  void restore(StateReader& in) override { histogram_.restore(in); }

 private:
  RangeChoice choose_;
  CalibratorOptions options_;
  ValueHistogram histogram_;
};

}  // namespace

std::unique_ptr<Calibrator> histogram_calibrator(RangeChoice choose, const CalibratorOptions& options) {
  check_options(options);
  return std::make_unique<HistogramCalibrator>(choose, options);
}

}  // namespace kvant::quant
