// SPDX-License-Identifier: Apache-2.0
// QAT as a search uses it: a quantized model trained to imitate its float model, for as long as there is
// time.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/progress.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "ir/graph.h"

namespace kvant::choose {

struct FineTuneOptions {
  int64_t epochs = 0;  // at most; 0: as many as show it 5,000 images, 20 at most, of no more than 20,000
  int64_t batch = 0;   // 0: 128, but down to 16 where an epoch would have less than 16 steps
  double learning_rate = 0.0005;
  uint64_t seed = 0;
  int threads = 0;                   // 0: the cores available
  std::filesystem::path checkpoint;  // kept until the caller removes it; empty: none
  bool resume = false;
};

class FineTuning {
 public:
  // `loader`: how samples are decoded; its batch and order are of no matter.
  FineTuning(const data::Dataset& dataset, data::LoaderOptions loader, FineTuneOptions options);

  // The epochs that fit into so many seconds, by a short training of a copy; at most those of the options.
  // Fails when not one does.
  int64_t epochs_within(double seconds, const ir::Graph& qdq, const ir::Graph& floats) const;

  // Trains `qdq` (types inferred) on the outputs of `floats` alone; labels play no part. The result is the
  // epoch whose outputs are nearest to the float model's on samples that were not trained on. SGD, a half
  // cosine, fixed ranges. Batch norms that were kept are folded. Fails as train::train() does.
  ir::Graph run(ir::Graph qdq, const ir::Graph& floats, int64_t epochs, Progress& progress) const;

 private:
  data::LoaderOptions training_loader(const data::Dataset& dataset) const;
  data::Dataset training_, tuning_;
  data::LoaderOptions loader_;
  FineTuneOptions options_;
};

}  // namespace kvant::choose
