// SPDX-License-Identifier: Apache-2.0
// Batches cut from tensors in memory, shuffled by (seed, epoch) if wanted.
#pragma once

#include "train/batch_source.h"

namespace kvant::train {

class MemorySource final : public BatchSource {
 public:
  // `images` [N, ...] f32, `labels` N, or none at all. A last batch that is not full is dropped when
  // shuffling, kept otherwise.
  MemorySource(Tensor images, std::vector<int64_t> labels, int64_t batch,
               std::optional<uint64_t> shuffle_seed = {});
  int64_t batches() const override;
  int64_t images() const override;
  bool labelled() const override { return !labels_.empty(); }
  void seek(int64_t epoch, int64_t batch) override;
  std::optional<LabelledBatch> next() override;
  std::string identity() const override;

 private:
  Tensor images_;
  std::vector<int64_t> labels_;
  int64_t batch_;
  std::optional<uint64_t> seed_;
  int64_t next_ = 0;
  std::vector<int64_t> order_;
};

}  // namespace kvant::train
