// SPDX-License-Identifier: Apache-2.0
// Counting right answers.
#pragma once

#include <functional>

#include "base/progress.h"
#include "train/batch_source.h"

namespace kvant::train {

// How many rows of `logits` [N, classes] are largest at their label (the first of equal ones). Fails on
// labels that do not fit.
int64_t count_correct(const Tensor& logits, const std::vector<int64_t>& labels);

// Percent right over one epoch of `source` (as epoch number `epoch`); `forward` gives a batch's logits. Stops
// at an interrupt by throwing.
double top1_over(BatchSource& source, int64_t epoch, const std::function<Tensor(const Tensor&)>& forward,
                 Progress& progress);

}  // namespace kvant::train
