// SPDX-License-Identifier: Apache-2.0
// The learning rate over a run: linear warm-up, then half a cosine.
#pragma once

#include <cstdint>

namespace kvant::train {

struct Schedule {
  double peak = 0.1;
  double end = 0.0;  // what the cosine falls to
  int64_t warmup = 0;
  int64_t total = 1;

  // Of step `step` in [0, total). The first warm-up step is peak / warmup, not 0.
  double at(int64_t step) const;
};

}  // namespace kvant::train
