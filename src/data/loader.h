// SPDX-License-Identifier: Apache-2.0
// Batches made ahead by background threads: decode, augment, preprocess. Their order and content depend on
// the options and the seed only, never on the number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/preprocess.h"
#include "tensor/tensor.h"

namespace kvant::data {

enum class Order { Sequential, Shuffled };
enum class Tail { Keep, Drop };  // what to do with a last batch that is not full

struct LoaderOptions {
  int64_t batch = 32;
  Order order = Order::Sequential;
  Tail tail = Tail::Keep;
  uint64_t seed = 0;
  int64_t epochs = 1;
  int threads = 0;        // workers beside the caller; 0: the cores available
  int64_t ahead = 4;      // batches made before they are asked for
  Preprocess preprocess;  // for images; tensors are taken as they are
  Augment augment;
  // What the model takes, without the batch dimension; kUnknownDim fits anything, empty means "as the first
  // sample".
  Shape sample_shape;
  size_t cache_bytes = size_t{256} << 20;  // decoded images kept in memory, 0: none
};

struct Batch {
  Tensor samples;                // f32, {n} + sample shape
  Tensor labels;                 // i64, {n}; -1 where unlabelled
  std::vector<int64_t> indices;  // in the dataset
  int64_t epoch = 0;
  int64_t index = 0;  // of the batch in its epoch

  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

class Loader {
 public:
  // Fails on options out of range and on an empty dataset. Starts at epoch 0, batch 0.
  Loader(Dataset dataset, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Batches of one epoch.
  int64_t batches() const;
  // The next batch. nullopt once at the end of every epoch; the call after that begins the next epoch, and
  // after the last epoch every call gives nullopt. An Error met while making a batch is thrown here, when its
  // turn comes, and again by every later call until seek().
  std::optional<Batch> next();
  // Goes on with batch `batch` of `epoch`, as if all before it had been taken (resuming, or starting over).
  void seek(int64_t epoch, int64_t batch = 0);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

// The order of the samples in an epoch: Fisher and Yates' shuffle by (seed, epoch), or 0, 1, 2, ...
std::vector<int64_t> epoch_order(int64_t size, Order order, uint64_t seed, int64_t epoch);

}  // namespace kvant::data
