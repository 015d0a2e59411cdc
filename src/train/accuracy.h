// SPDX-License-Identifier: Apache-2.0
// How good outputs are: against labels, and against a teacher's outputs.
#pragma once

#include <functional>

#include "base/progress.h"
#include "train/batch_source.h"

namespace kvant::train {

// What is known of a set of images; below 0: not measured.
struct Scores {
  double top1 = -1;        // percent whose largest output is at their label
  double agreement = -1;   // percent whose largest output is the teacher's
  double divergence = -1;  // mean Kullback-Leibler divergence of the outputs from the teacher's, in nats
  friend bool operator==(const Scores&, const Scores&) = default;
};

// How many rows of `logits` [N, classes] are largest at their label (the first of equal ones). Fails on
// labels that do not fit.
int64_t count_correct(const Tensor& logits, const std::vector<int64_t>& labels);
// The place of the largest number in each row (the first of equal ones). Fails unless `logits` is
// f32 [N, classes].
std::vector<int64_t> largest(const Tensor& logits);
// Sum over the rows of KL(softmax(wanted) || softmax(given)), computed in double. Fails on different shapes.
double divergence_sum(const Tensor& wanted, const Tensor& given);

using Forward = std::function<Tensor(const Tensor&)>;

// One epoch of `source` (as epoch number `epoch`): top-1 if it is labelled, the others if there is a
// `teacher` (may be null). Both give a batch's logits. Stops at an interrupt by throwing.
Scores score_over(BatchSource& source, int64_t epoch, const Forward& forward, const Forward& teacher,
                  Progress& progress);

}  // namespace kvant::train
