// SPDX-License-Identifier: Apache-2.0
// Mean and variance, as the normalisation operators use them.
#pragma once

#include <cmath>
#include <span>

namespace kvant::ops {

struct Moments {
  double mean = 0, variance = 0;  // population variance
};

// Two passes, in double; 0 and 0 for nothing.
inline Moments moments_of(std::span<const double> values) {
  if (values.empty()) return {};
  Moments result;
  for (const double value : values) result.mean += value;
  result.mean /= static_cast<double>(values.size());
  for (const double value : values) result.variance += (value - result.mean) * (value - result.mean);
  result.variance /= static_cast<double>(values.size());
  return result;
}

// (value - mean) / sqrt(variance + epsilon), in place.
inline void normalize(std::span<double> values, const Moments& moments, double epsilon) {
  const double factor = 1.0 / std::sqrt(moments.variance + epsilon);
  for (double& value : values) value = (value - moments.mean) * factor;
}

}  // namespace kvant::ops
