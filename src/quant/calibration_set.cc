// SPDX-License-Identifier: Apache-2.0
#include "quant/calibration_set.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace kvant::quant {

struct CalibrationSet::State {
  BatchSource once;
  std::function<BatchSource()> reopen;
  size_t limit = 0;  // of `kept`, in bytes
  size_t bytes = 0;
  std::vector<std::vector<Tensor>> kept;
  bool complete = false;  // kept holds all batches
  bool consumed = false;  // the one pass over `once` has begun
};

namespace {

using Inputs = std::vector<Tensor>;

size_t bytes_of(const Inputs& inputs) {
  size_t bytes = 0;
  for (const Tensor& t : inputs) bytes += t.byte_size();
  return bytes;
}

// The first dimension, when all inputs share it; else 0.
int64_t rows_of(const Inputs& inputs) {
  if (inputs.empty() || inputs[0].rank() == 0) return 0;
  const int64_t rows = inputs[0].dim(0);
  for (const Tensor& t : inputs) {
    if (t.rank() == 0 || t.dim(0) != rows) return 0;
  }
  return rows;
}

// Rows gathered one by one into batches of equal size.
class Gather {
 public:
  explicit Gather(int64_t rows) : rows_(rows) {}

  // False where the row does not fit to those that are waiting (other shape or type).
  bool fits(const Inputs& from) const {
    if (filled_ == 0) return true;
    for (size_t i = 0; i < from.size(); ++i) {
      Shape shape = from[i].shape();
      shape[0] = rows_;
      if (shape != batch_[i].shape() || from[i].dtype() != batch_[i].dtype()) return false;
    }
    return true;
  }
  void add(const Inputs& from, int64_t row) {
    if (filled_ == 0) {
      batch_.clear();
      for (const Tensor& t : from) {
        Shape shape = t.shape();
        shape[0] = rows_;
        batch_.emplace_back(t.dtype(), std::move(shape));
      }
    }
    for (size_t i = 0; i < from.size(); ++i) {
      const size_t bytes = from[i].byte_size() / static_cast<size_t>(from[i].dim(0));
      std::memcpy(batch_[i].mutable_raw() + static_cast<size_t>(filled_) * bytes,
                  from[i].raw() + static_cast<size_t>(row) * bytes, bytes);
    }
    ++filled_;
  }
  bool full() const { return filled_ == rows_; }
  bool empty() const { return filled_ == 0; }
  // What is there, as a batch of its own size.
  Inputs take() {
    Inputs result = std::move(batch_);
    for (Tensor& t : result) {
      if (filled_ == rows_) break;
      Shape shape = t.shape();
      shape[0] = filled_;
      Tensor part(t.dtype(), std::move(shape));
      std::memcpy(part.mutable_raw(), t.raw(), part.byte_size());
      t = std::move(part);
    }
    filled_ = 0;
    batch_.clear();
    return result;
  }

 private:
  int64_t rows_;
  int64_t filled_ = 0;
  Inputs batch_;
};

// One part of a source's samples.
class PartSource {
 public:
  PartSource(BatchSource source, Part part, bool ragged)
      : source_(std::move(source)), part_(part), ragged_(ragged) {}

  std::optional<Inputs> next() {
    for (;;) {
      if (!current_ && !ended_) {
        current_ = source_();
        row_ = 0;
        ended_ = !current_;
      }
      if (!current_) return rest();
      const int64_t rows = rows_of(*current_);
      if (rows == 0) {  // one sample, as it is
        Inputs whole = *std::exchange(current_, std::nullopt);
        if (wanted()) return whole;
        continue;
      }
      if (!gather_) gather_.emplace(rows);
      for (; row_ < rows; ++row_) {
        if (!gather_->fits(*current_)) {
          if (ragged_) return gather_->take();
          gather_->take();
        }
        if (!wanted()) continue;
        gather_->add(*current_, row_);
        if (!gather_->full()) continue;
        ++row_;
        return gather_->take();
      }
      current_.reset();
    }
  }

 private:
  bool wanted() {
    const bool held_out = sample_++ % kHoldOutEvery == kHoldOutEvery - 1;
    return held_out == (part_ == Part::HeldOut);
  }
  std::optional<Inputs> rest() {
    if (!ragged_ || !gather_ || gather_->empty()) return std::nullopt;
    return gather_->take();
  }

  BatchSource source_;
  Part part_;
  bool ragged_;
  bool ended_ = false;
  std::optional<Inputs> current_;
  int64_t row_ = 0;
  int64_t sample_ = 0;
  std::optional<Gather> gather_;
};

}  // namespace

CalibrationSet::CalibrationSet(BatchSource once) {
  if (!once) return;
  state_ = std::make_shared<State>();
  state_->once = std::move(once);
}

CalibrationSet CalibrationSet::reopened(std::function<BatchSource()> open) {
  CalibrationSet set;
  set.state_ = std::make_shared<State>();
  set.state_->reopen = std::move(open);
  return set;
}

void CalibrationSet::keep(size_t bytes) {
  if (state_) state_->limit = bytes;
}

BatchSource CalibrationSet::open() const {
  KVANT_CHECK(state_ != nullptr, "no calibration data to open");
  const std::shared_ptr<State> state = state_;
  if (state->complete) {
    return [state, next = size_t{0}]() mutable -> std::optional<Inputs> {
      if (next >= state->kept.size()) return std::nullopt;
      return state->kept[next++];
    };
  }
  if (!state->reopen && std::exchange(state->consumed, true)) {
    fail(
        "the calibration data can be read once only and is too large to be kept: give a source that can be "
        "opened again, or fewer samples");
  }
  BatchSource source = state->reopen ? state->reopen() : state->once;
  if (state->limit == 0) return source;
  state->kept.clear();
  state->bytes = 0;
  return [state, source = std::move(source), keeping = true]() mutable -> std::optional<Inputs> {
    std::optional<Inputs> batch = source();
    if (!batch) {
      state->complete = state->complete || keeping;
      keeping = false;
      return std::nullopt;
    }
    if (!keeping) return batch;
    state->bytes += bytes_of(*batch);
    if (state->bytes <= state->limit) {
      state->kept.push_back(*batch);
    } else {
      keeping = false;
      state->limit = 0;  // later passes need not try again
      state->kept.clear();
    }
    return batch;
  };
}

BatchSource CalibrationSet::open(Part part, bool ragged) const {
  BatchSource all = open();
  if (part == Part::All) return all;
  const auto source = std::make_shared<PartSource>(std::move(all), part, ragged);
  return [source] { return source->next(); };
}

}  // namespace kvant::quant
