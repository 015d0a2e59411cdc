// SPDX-License-Identifier: Apache-2.0
#include "train/memory_source.h"

#include <algorithm>
#include <numeric>

#include "base/random.h"

namespace kvant::train {

MemorySource::MemorySource(Tensor images, std::vector<int64_t> labels, int64_t batch,
                           std::optional<uint64_t> shuffle_seed)
    : images_(std::move(images)), labels_(std::move(labels)), batch_(batch), seed_(shuffle_seed) {
  if (images_.rank() == 0 || images_.dim(0) == 0) fail("there are no images");
  if (!labels_.empty() && images_.dim(0) != static_cast<int64_t>(labels_.size())) {
    fail("{} images have {} labels", images_.dim(0), labels_.size());
  }
  if (batch_ < 1 || (seed_ && batch_ > images_.dim(0)))
    fail("a batch of {} does not fit {} images", batch_, images_.dim(0));
  seek(0, 0);
}

int64_t MemorySource::batches() const {
  return seed_ ? images_.dim(0) / batch_ : (images_.dim(0) + batch_ - 1) / batch_;
}

int64_t MemorySource::images() const { return seed_ ? batches() * batch_ : images_.dim(0); }

void MemorySource::seek(int64_t epoch, int64_t batch) {
  order_.resize(static_cast<size_t>(images_.dim(0)));
  std::iota(order_.begin(), order_.end(), int64_t{0});
  next_ = batch;
  if (!seed_) return;
  Random random(*seed_ + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(epoch + 1));
  for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
}

std::optional<LabelledBatch> MemorySource::next() {
  if (next_ >= batches()) return std::nullopt;
  const int64_t begin = next_++ * batch_, end = std::min(begin + batch_, images_.dim(0));
  Shape shape = images_.shape();
  const int64_t each = images_.size() / shape[0];
  shape[0] = end - begin;
  LabelledBatch batch{Tensor(DType::Float32, shape), {}};
  const auto from = images_.data<float>();
  auto to = batch.images.mutable_data<float>();
  for (int64_t i = begin; i < end; ++i) {
    const int64_t sample = order_[static_cast<size_t>(i)];
    std::copy_n(from.begin() + sample * each, each, to.begin() + (i - begin) * each);
    if (!labels_.empty()) batch.labels.push_back(labels_[static_cast<size_t>(sample)]);
  }
  return batch;
}

std::string MemorySource::identity() const {
  return fmt::format("{} samples in memory, batch {}, seed {}", images_.dim(0), batch_,
                     seed_ ? std::to_string(*seed_) : "none");
}

}  // namespace kvant::train
