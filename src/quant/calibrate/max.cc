// SPDX-License-Identifier: Apache-2.0
#include "quant/calibrate/calibrator.h"

namespace kvant::quant {
namespace {

class MaxCalibrator final : public Calibrator {
 public:
  void observe(std::span<const float> values) override {
    if (values.empty()) return;
    if (!seen_) range_ = {values[0], values[0]};
    seen_ = true;
    float low = range_.low, high = range_.high;
    for (const float x : values) {
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    range_ = {low + 0.0f, high + 0.0f};  // no negative zero, which would depend on the order
  }
  Range range() const override { return range_; }
  void save(StateWriter& out) const override {
    out.number(seen_ ? 1 : 0);
    out.real(range_.low);
    out.real(range_.high);
  }
  void restore(StateReader& in) override {
    seen_ = in.number_up_to(1) == 1;
    range_.low = in.real();
    range_.high = in.real();
    if (range_.low > range_.high) StateReader::refuse();
  }

 private:
  Range range_;
  bool seen_ = false;
};

}  // namespace

std::unique_ptr<Calibrator> max_calibrator(const CalibratorOptions&) {
  return std::make_unique<MaxCalibrator>();
}

}  // namespace kvant::quant
