// SPDX-License-Identifier: Apache-2.0
// A classifier run over a labelled set: the arithmetic of eval, shared with the demo's comparisons.
#pragma once

#include <functional>

#include "base/progress.h"
#include "cli/model_file.h"
#include "data/loader.h"

namespace kvant::cli {

struct Accuracy {
  int64_t samples = 0;
  int64_t top1 = 0, top5 = 0;  // correct among the first, the first five
  double loss = 0;             // mean cross entropy
  double seconds = 0;          // of running, without loading images
};

// Index of the largest; ties go to the first.
int64_t argmax(std::span<const float> row);

// The first output of `runner` for `samples` (fewer than `batch` are filled up with zeros and cut off again).
Tensor run_batch(ir::Runner& runner, const Tensor& samples, int64_t batch,
                 const ir::Runner::Observer& observer = {});

// Runs all batches. Rows of the first output are logits, or probabilities when they are such (non-negative,
// sum 1). Fails when the output is not [N, classes], when a label does not fit it and on NaN.
Accuracy classify(const LoadedModel& model, data::Loader& loader, int64_t samples, Progress& progress);

}  // namespace kvant::cli
