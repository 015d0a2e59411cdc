// SPDX-License-Identifier: Apache-2.0
// Where training gets its batches. data::Loader behind loader_source.h; memory_source.h for tensors at hand.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::train {

struct LabelledBatch {
  Tensor images;                // f32 [N, ...]
  std::vector<int64_t> labels;  // N of them; none in a source that is not labelled
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Batches and images of one epoch.
  virtual int64_t batches() const = 0;
  virtual int64_t images() const = 0;
  virtual bool labelled() const { return true; }
  // Goes to batch `batch` of `epoch`. The same epoch and batch are the same bytes, every time.
  virtual void seek(int64_t epoch, int64_t batch) = 0;
  // The next batch of the epoch; nothing at its end.
  virtual std::optional<LabelledBatch> next() = 0;
  // What identifies the data and their order, for the check on resume ("60000 samples, batch 128, seed 1").
  virtual std::string identity() const = 0;
};

}  // namespace kvant::train
