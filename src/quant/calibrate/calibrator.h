// SPDX-License-Identifier: Apache-2.0
// A calibrator watches one tensor and proposes the range to quantize it over. It knows no graphs.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "quant/calibrate/calibration_state.h"

namespace kvant::quant {

// Values from low to high, both finite, low <= high.
struct Range {
  float low = 0;
  float high = 0;
  // Largest magnitude: what a symmetric scale is made of.
  float amax() const { return std::max(std::fabs(low), std::fabs(high)); }
  friend bool operator==(Range, Range) = default;
};

// observe() is called once per batch, with finite values only; range() after the last batch. The range
// does not depend on how the values were split into batches nor on their order. Without any value it is {0,
// 0}. Memory does not grow with the number of values.
class Calibrator {
 public:
  virtual ~Calibrator() = default;
  virtual void observe(std::span<const float> values) = 0;
  virtual Range range() const = 0;
  // The name of the calibrator whose range this is, where one chooses among others; else "".
  virtual std::string_view picked() const { return {}; }
  // What was observed so far, exactly; restore() fails on what save() of this calibrator cannot have written.
  virtual void save(StateWriter& out) const = 0;
  virtual void restore(StateReader& in) = 0;
};

// Integer codes that stand for a range. Symmetric: zero point 0, scale amax / (2^(bits-1) - 1). Affine: all
// 2^bits codes over [min(low, 0), max(high, 0)].
enum class Codes { Symmetric, Affine };

struct CalibratorOptions {
  // Per cent of the values, by magnitude, that lie in the range: (0, 100]. The default is the value that
  // NVIDIA's pytorch-quantization found best for ResNet-50.
  double percentile = 99.99;
  // What the range will be quantized to, for the calibrators that weigh clipping against rounding: 2 to 8
  // bits.
  int bits = 8;
  Codes codes = Codes::Symmetric;
};

struct CalibratorEntry {
  std::string_view name;
  std::string_view summary;
  std::unique_ptr<Calibrator> (*make)(const CalibratorOptions&);
};

// In the order of calibrators.inc.
std::span<const CalibratorEntry> calibrators();
// Fails on an unknown name, with the nearest. The options are checked when the calibrator is made.
const CalibratorEntry& calibrator_named(std::string_view name);

}  // namespace kvant::quant
