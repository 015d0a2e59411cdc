// SPDX-License-Identifier: Apache-2.0
#include "train/schedule.h"

#include <cmath>
#include <numbers>

namespace kvant::train {

double Schedule::at(int64_t step) const {
  if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
  const auto done = static_cast<double>(step - warmup);
  const auto length = static_cast<double>(total > warmup ? total - warmup : 1);
  return end + 0.5 * (peak - end) * (1 + std::cos(std::numbers::pi * done / length));
}

}  // namespace kvant::train
