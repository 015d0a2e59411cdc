// SPDX-License-Identifier: Apache-2.0
// A calibrator watches one tensor and proposes the range to quantize it over. It knows no graphs.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace kvant::quant {

// Values from low to high, both finite, low <= high.
struct Range {
  float low = 0;
  float high = 0;
  // Largest magnitude: what a symmetric scale is made of.
  float amax() const { return std::max(std::fabs(low), std::fabs(high)); }
  friend bool operator==(Range, Range) = default;
};

// observe() is called once per batch, with finite values only; range() once, after the last batch. The range
// does not depend on how the values were split into batches nor on their order. Without any value it is {0,
// 0}. Memory does not grow with the number of values.
class Calibrator {
 public:
  virtual ~Calibrator() = default;
  virtual void observe(std::span<const float> values) = 0;
  virtual Range range() const = 0;
};

struct CalibratorOptions {
  // Per cent of the values, by magnitude, that lie in the range: (0, 100]. The default is the value that
  // NVIDIA's pytorch-quantization found best for ResNet-50.
  double percentile = 99.99;
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
