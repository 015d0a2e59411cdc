// SPDX-License-Identifier: Apache-2.0
// Calibration data that can be gone through several times, in bounded memory, whole or in two parts: one that
// repair steps are fitted on, and one held out that tells whether they help.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "quant/calibrate/calibrate.h"

namespace kvant::quant {

// Every kHoldOutEvery-th sample (the 5th, 10th ...) is held out.
inline constexpr int64_t kHoldOutEvery = 5;

enum class Part { All, Fit, HeldOut };

class CalibrationSet {
 public:
  CalibrationSet() = default;        // no data
  CalibrationSet(BatchSource once);  // can be gone through once, unless keep() is called before
  // Starts over at every open(): a loader that decodes again, an array.
  static CalibrationSet reopened(std::function<BatchSource()> open);

  explicit operator bool() const { return state_ != nullptr; }
  // From the next pass on, batches are kept in memory as long as all of them together take no more than
  // `bytes`; a set that takes more is read again from its source at every pass, and refused where it has
  // none.
  void keep(size_t bytes);
  // The batches as they come. One pass at a time. Fails on a second pass that is not possible.
  BatchSource open() const;
  // The samples of one part, gathered into batches as large as the source's first one (a last smaller one
  // only where `ragged`). Batches whose inputs differ in their first dimension count as one sample.
  BatchSource open(Part part, bool ragged = true) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kvant::quant
