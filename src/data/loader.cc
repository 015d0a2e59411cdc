// SPDX-License-Identifier: Apache-2.0
#include "data/loader.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/thread_pool.h"

namespace kvant::data {
namespace {

// Decoded images between epochs, up to a number of bytes; which ones are kept has no influence on what comes
// out.
class Cache {
 public:
  Cache(int64_t size, size_t limit) : images_(limit > 0 ? static_cast<size_t>(size) : 0), left_(limit) {}
  std::shared_ptr<const Image> find(int64_t i) {
    if (images_.empty()) return nullptr;
    const std::lock_guard lock(mutex_);
    return images_[static_cast<size_t>(i)];
  }
  void keep(int64_t i, std::shared_ptr<const Image> image) {
    if (images_.empty()) return;
    const std::lock_guard lock(mutex_);
    auto& place = images_[static_cast<size_t>(i)];
    if (place || image->pixels.size() > left_) return;
    left_ -= image->pixels.size();
    place = std::move(image);
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<const Image>> images_;
  size_t left_;
};

// Makes single samples; used by all workers at once.
class SampleMaker {
 public:
  SampleMaker(const Dataset& dataset, const LoaderOptions& options)
      : dataset_(dataset),
        options_(options),
        cache_(dataset.size(),
               dataset.decodes() && dataset.holds_images() && options.epochs > 1 ? options.cache_bytes : 0) {}

  // Learns the shape of all samples from sample `first` and checks it against what the model takes.
  void start(int64_t first) {
    if (dataset_.holds_images()) {
      const Image image = made(first, 0);
      shape_ = sample_shape(options_.preprocess, image);
      normalizer_ = std::make_unique<Normalizer>(options_.preprocess, image.channels);
    } else {
      shape_ = dataset_.tensor(first).shape();
    }
    if (!options_.sample_shape.empty()) require_fit(shape_, options_.sample_shape, dataset_.describe(first));
  }
  const Shape& shape() const { return shape_; }

  void write(int64_t i, int64_t epoch, std::span<float> out) {
    if (dataset_.holds_images()) {
      const Image image = made(i, epoch);
      check(sample_shape(options_.preprocess, image), i);
      normalizer_->write(image, out);
    } else {
      const Tensor sample = dataset_.tensor(i).cast(DType::Float32);
      check(sample.shape(), i);
      std::ranges::copy(sample.data<float>(), out.begin());
    }
  }

 private:
  void check(const Shape& shape, int64_t i) const {
    if (shape == shape_) return;
    fail(
        "{} is {} after preprocessing, but the first sample is {}; set --resize, --crop or --channels so "
        "that all agree",
        dataset_.describe(i), to_string(shape), to_string(shape_));
  }

  Image made(int64_t i, int64_t epoch) {
    return noting(
        [&] { return "sample " + dataset_.describe(i); },
        [&] {
          Random random = sample_random(options_.seed, epoch, i);
          if (options_.augment.area_low > 0) {
            const auto stored = cached(i, [&] { return dataset_.image(i); });
            return vary(options_.augment,
                        random_resized_crop(options_.augment, options_.preprocess, *stored, random), random);
          }
          const auto fitted = cached(i, [&] { return fit(options_.preprocess, dataset_.image(i)); });
          return vary(options_.augment, *fitted, random);
        });
  }

  template <class Make>
  std::shared_ptr<const Image> cached(int64_t i, Make make) {
    if (auto known = cache_.find(i)) return known;
    auto image = std::make_shared<const Image>(make());
    cache_.keep(i, image);
    return image;
  }

  const Dataset& dataset_;
  const LoaderOptions& options_;
  Cache cache_;
  Shape shape_;
  std::unique_ptr<Normalizer> normalizer_;
};

void validate_options(const Dataset& dataset, const LoaderOptions& options) {
  if (options.batch < 1) fail("the batch size must be at least 1, not {}", options.batch);
  if (options.epochs < 1) fail("the number of epochs must be at least 1, not {}", options.epochs);
  if (options.ahead < 1) fail("at least 1 batch must be made ahead, not {}", options.ahead);
  if (options.threads < 0) fail("the number of loader threads is {}, it cannot be negative", options.threads);
  if (dataset.size() == 0) fail("the data set {} is empty", dataset.spec());
  if (options.tail == Tail::Drop && dataset.size() < options.batch) {
    fail("the data set {} has {} samples, fewer than one batch of {}", dataset.spec(), dataset.size(),
         options.batch);
  }
  validate(options.augment, options.preprocess);
  if (options.augment.any() && !dataset.holds_images()) {
    fail("the data set {} holds ready tensors, which cannot be augmented", dataset.spec());
  }
}

}  // namespace

std::vector<int64_t> epoch_order(int64_t size, Order order, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> result(static_cast<size_t>(size));
  for (size_t i = 0; i < result.size(); ++i) result[i] = static_cast<int64_t>(i);
  if (order == Order::Sequential) return result;
  Random random = sample_random(seed, epoch, -1);
  for (size_t i = result.size(); i > 1; --i) std::swap(result[i - 1], result[random.below(i)]);
  return result;
}

// Batches are numbered through all epochs. Slot number % ahead holds a batch from the moment a worker opens
// it until the caller takes it; workers take chunks of the oldest batch that still has some.
class Loader::Work {
 public:
  Work(Dataset dataset, LoaderOptions options)
      : dataset_(std::move(dataset)), options_(std::move(options)), maker_(dataset_, options_) {
    validate_options(dataset_, options_);
    const int64_t size = dataset_.size();
    per_epoch_ =
        options_.tail == Tail::Drop ? size / options_.batch : (size + options_.batch - 1) / options_.batch;
    threads_ = options_.threads > 0 ? options_.threads : available_cores();
    chunk_ = std::max<int64_t>(1, options_.batch / (4 * threads_));
    seek(0, 0);
  }
  ~Work() { stop(); }

  int64_t per_epoch() const { return per_epoch_; }

  void seek(int64_t epoch, int64_t batch) {
    if (epoch < 0 || batch < 0 || batch > per_epoch_) {
      fail("cannot go on with batch {} of epoch {}: an epoch has {} batches", batch, epoch, per_epoch_);
    }
    stop();
    slots_.assign(static_cast<size_t>(options_.ahead), {});
    taken_ = opened_ = epoch * per_epoch_ + batch;
    epoch_ = epoch;
    order_epoch_ = -1;
    failure_ = fatal_ = nullptr;
    if (epoch >= options_.epochs) return;
    try {
      if (!started_) {
        maker_.start(epoch_order(dataset_.size(), options_.order, options_.seed, epoch).front());
        started_ = true;
      }
    } catch (...) {
      failure_ = std::current_exception();
      return;
    }
    for (int i = 0; i < threads_; ++i) workers_.emplace_back([this] { work(); });
  }

  std::optional<Batch> next() {
    if (failure_) std::rethrow_exception(failure_);
    if (epoch_ >= options_.epochs) return std::nullopt;
    if (taken_ == (epoch_ + 1) * per_epoch_) {
      ++epoch_;
      return std::nullopt;
    }
    std::unique_lock lock(mutex_);
    Slot& slot = slot_of(taken_);
    ready_.wait(lock, [&] { return fatal_ || (opened_ > taken_ && slot.left == 0); });
    if (fatal_ || slot.failure) {
      failure_ = fatal_ ? fatal_ : slot.failure;
      std::rethrow_exception(failure_);
    }
    Batch batch = std::move(slot.batch);
    ++taken_;
    lock.unlock();
    room_.notify_all();
    return batch;
  }

 private:
  struct Slot {
    Batch batch;
    float* samples = nullptr;
    int64_t begun = 0;  // samples given to workers
    int64_t left = 0;   // samples not yet done
    int64_t failed_at =
        0;  // position of the first failure in the batch, for the same error whatever the threads
    std::exception_ptr failure;
  };
  struct Chunk {
    Slot* slot;
    int64_t begin;
    int64_t end;
  };

  Slot& slot_of(int64_t number) { return slots_[static_cast<size_t>(number % options_.ahead)]; }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    room_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    stopping_ = false;
  }

  // With the mutex held. Begins the next batch; false if there is no room or nothing left.
  bool open_batch() {
    const int64_t number = opened_;
    const int64_t epoch = number / per_epoch_;
    if (number >= taken_ + options_.ahead || epoch >= options_.epochs) return false;
    if (epoch != order_epoch_) {
      order_ = epoch_order(dataset_.size(), options_.order, options_.seed, epoch);
      order_epoch_ = epoch;
    }
    const int64_t index = number % per_epoch_;
    const int64_t first = index * options_.batch;
    const int64_t count = std::min(options_.batch, dataset_.size() - first);
    Slot& slot = slot_of(number);
    slot = {};
    slot.batch.epoch = epoch;
    slot.batch.index = index;
    slot.batch.indices.assign(order_.begin() + first, order_.begin() + first + count);
    Shape shape = maker_.shape();
    shape.insert(shape.begin(), count);
    slot.batch.samples = Tensor(DType::Float32, shape);
    slot.samples = slot.batch.samples.mutable_data<float>().data();
    slot.batch.labels = Tensor(DType::Int64, {count});
    auto labels = slot.batch.labels.mutable_data<int64_t>();
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = dataset_.label(slot.batch.indices[i]);
    slot.left = count;
    ++opened_;
    return true;
  }

  // With the mutex held. Chunks of the newest batch, which is the only one with some left.
  std::optional<Chunk> take_chunk() {
    if (fatal_) return std::nullopt;
    if (opened_ > taken_) {
      Slot& slot = slot_of(opened_ - 1);
      const int64_t count = slot.batch.size();
      if (slot.begun < count) {
        const int64_t begin = slot.begun;
        slot.begun = std::min(count, begin + chunk_);
        return Chunk{&slot, begin, slot.begun};
      }
    }
    try {
      return open_batch() ? take_chunk() : std::nullopt;
    } catch (...) {  // no memory for a batch
      fatal_ = std::current_exception();
      ready_.notify_all();
      return std::nullopt;
    }
  }

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      std::optional<Chunk> chunk;
      room_.wait(lock, [&] { return stopping_ || (chunk = take_chunk()); });
      if (stopping_) return;
      lock.unlock();
      int64_t position = chunk->begin;
      std::exception_ptr failure;
      try {
        for (; position < chunk->end; ++position) make(*chunk->slot, position);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      Slot& slot = *chunk->slot;
      if (failure && (!slot.failure || position < slot.failed_at)) {
        slot.failure = failure;
        slot.failed_at = position;
      }
      slot.left -= chunk->end - chunk->begin;
      if (slot.left == 0) ready_.notify_all();
    }
  }

  void make(Slot& slot, int64_t position) {
    const auto size = static_cast<size_t>(element_count(maker_.shape()));
    maker_.write(slot.batch.indices[static_cast<size_t>(position)], slot.batch.epoch,
                 {slot.samples + static_cast<size_t>(position) * size, size});
  }

  const Dataset dataset_;
  const LoaderOptions options_;
  SampleMaker maker_;
  bool started_ = false;
  int64_t per_epoch_ = 0;
  int threads_ = 1;
  int64_t chunk_ = 1;

  // The caller's side.
  int64_t epoch_ = 0;
  std::exception_ptr failure_;

  // Under the mutex.
  std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable room_;
  std::vector<Slot> slots_;
  std::vector<int64_t> order_;
  int64_t order_epoch_ = -1;
  int64_t taken_ = 0;
  int64_t opened_ = 0;
  bool stopping_ = false;
  std::exception_ptr fatal_;
  std::vector<std::thread> workers_;
};

Loader::Loader(Dataset dataset, LoaderOptions options)
    : work_(std::make_unique<Work>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;
int64_t Loader::batches() const { return work_->per_epoch(); }
std::optional<Batch> Loader::next() { return work_->next(); }
void Loader::seek(int64_t epoch, int64_t batch) { work_->seek(epoch, batch); }

}  // namespace kvant::data
