// SPDX-License-Identifier: Apache-2.0
#include "choose/fine_tune.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/error.h"
#include "choose/data_parts.h"
#include "quant/adjust/fold_batch_norm.h"
#include "train/loader_source.h"
#include "train/train.h"

namespace kvant::choose {
namespace {

constexpr int64_t kImages = 5'000, kMostEpochs = 20, kMostSamples = 20'000;
constexpr int64_t kBatch = 128, kLeastBatch = 16, kStepsAnEpoch = 16;

// Labels play no part, so that only the teacher's word is needed and one image of a class is enough.
train::TrainOptions options_of(const FineTuneOptions& options, const ir::Graph& floats, int64_t epochs) {
  train::TrainOptions result;
  result.epochs = epochs;
  result.learning_rate = options.learning_rate;
  result.final_learning_rate = options.learning_rate * 0.01;
  result.clip_norm = 1;
  result.teacher = &floats;
  result.distill_weight = 1;
  result.best_by = train::BestBy::Divergence;
  result.seed = options.seed;
  result.threads = options.threads;
  return result;
}

}  // namespace

FineTuning::FineTuning(const data::Dataset& dataset, data::LoaderOptions loader, FineTuneOptions options)
    : training_(dataset), tuning_(dataset), loader_(std::move(loader)), options_(std::move(options)) {
  std::tie(training_, tuning_) = training_parts(dataset);
  if (options_.epochs == 0) training_ = training_.spread(kMostSamples);
  if (options_.batch == 0) {
    options_.batch = kBatch;
    while (options_.batch > kLeastBatch && training_.size() / options_.batch < kStepsAnEpoch)
      options_.batch /= 2;
  }
  options_.batch = std::min(options_.batch, training_.size());
  if (options_.epochs == 0) {
    const int64_t size = training_.size();
    options_.epochs = std::clamp<int64_t>((kImages + size - 1) / size, 1, kMostEpochs);
  }
}

data::LoaderOptions FineTuning::training_loader(const data::Dataset& dataset) const {
  data::LoaderOptions options = loader_;
  options.batch = std::min(options_.batch, dataset.size());
  options.order = data::Order::Shuffled;
  options.tail = data::Tail::Drop;
  options.seed = options_.seed;
  options.threads = 1;  // training takes the cores
  options.cache_bytes = data::LoaderOptions{}.cache_bytes;
  return options;
}

int64_t FineTuning::epochs_within(double seconds, const ir::Graph& qdq, const ir::Graph& floats) const {
  if (std::isinf(seconds)) return options_.epochs;
  const data::Dataset few = training_.spread(4 * options_.batch);
  train::LoaderSource source(few, training_loader(few));
  ir::Graph copy = qdq;
  const train::TrainResult probe = train::train(copy, source, nullptr, options_of(options_, floats, 1));
  // A forward pass takes a third of a step; judging an epoch takes one of each tuning sample.
  const double images = static_cast<double>(training_.size()) + static_cast<double>(tuning_.size()) / 3;
  const double epoch = images / std::max(1e-9, probe.images_per_second());
  const auto fitting = static_cast<int64_t>(seconds / epoch);
  if (fitting < 1)
    fail("an epoch would take {:.0f} s, and the budget has {:.0f} s left", epoch, std::max(0.0, seconds));
  return std::min(fitting, options_.epochs);
}

ir::Graph FineTuning::run(ir::Graph qdq, const ir::Graph& floats, int64_t epochs, Progress& progress) const {
  train::LoaderSource source(training_, training_loader(training_));
  data::LoaderOptions sequential = training_loader(tuning_);
  sequential.order = data::Order::Sequential;
  sequential.tail = data::Tail::Keep;
  train::LoaderSource tuning(tuning_, sequential);
  train::TrainOptions options = options_of(options_, floats, epochs);
  options.checkpoint = options_.checkpoint;
  options.resume = options_.resume;
  train::train(qdq, source, &tuning, options, progress);
  quant::fold_batch_norm(qdq);
  return qdq;
}

}  // namespace kvant::choose
