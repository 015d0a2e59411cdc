// SPDX-License-Identifier: Apache-2.0
#include "choose/samples.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/interrupt.h"

namespace kvant::choose {
namespace {

Tensor filled_up(const Tensor& samples, int64_t batch) {
  if (samples.dim(0) == batch) return samples;
  Shape shape = samples.shape();
  shape[0] = batch;
  Tensor full(samples.dtype(), shape);
  std::memcpy(full.mutable_raw(), samples.raw(), samples.byte_size());
  return full;
}

// Values of the first `rows` samples of an output with the batch in front.
std::span<const float> valid(const Tensor& output, int64_t rows, int64_t batch) {
  const std::span<const float> all = output.data<float>();
  if (output.rank() == 0 || output.dim(0) != batch) return all;
  return all.first(all.size() / static_cast<size_t>(batch) * static_cast<size_t>(rows));
}

int64_t best(std::span<const float> row) { return std::max_element(row.begin(), row.end()) - row.begin(); }

}  // namespace

void Samples::rewind() {
  at_ = 0;
  if (complete_ || fresh_) return;
  kept_.clear();
  kept_bytes_ = 0;
  loader_.seek(0);
}

std::optional<Samples::Part> Samples::next() {
  fresh_ = false;
  if (complete_) return at_ < kept_.size() ? std::optional(kept_[at_++]) : std::nullopt;
  std::optional<data::Batch> batch = loader_.next();
  if (!batch) {
    complete_ = keeping_;
    return std::nullopt;
  }
  Part part{
      .inputs = filled_up(batch->samples, batch_), .labels = batch->labels.to_ints(), .rows = batch->size()};
  kept_bytes_ += part.inputs.byte_size();
  if (kept_bytes_ > kKeptBytes) keeping_ = false;
  if (keeping_) {
    kept_.push_back(part);
  } else {
    kept_.clear();
  }
  return part;
}

double Score::sqnr_db() const {
  return relative_error > 0 ? -10 * std::log10(relative_error) : std::numeric_limits<double>::infinity();
}

namespace {

class Tally {
 public:
  // Outputs of one batch against the float model's.
  void add(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual,
           const Samples::Part& part) {
    const int64_t batch = part.inputs.dim(0);
    for (size_t i = 0; i < expected.size(); ++i) {
      if (expected[i].shape() != actual[i].shape())
        fail("output {} has shape {}, the float model's {}", i, to_string(actual[i].shape()),
             to_string(expected[i].shape()));
      const auto want = valid(expected[i], part.rows, batch), have = valid(actual[i], part.rows, batch);
      for (size_t k = 0; k < want.size(); ++k) {
        const double x = static_cast<double>(want[k]), y = static_cast<double>(have[k]);
        if (std::isnan(y)) fail("the model gives NaN (output {}, element {})", i, k);
        signal_ += x * x;
        noise_ += (x - y) * (x - y);
      }
    }
    samples_ += part.rows;
    if (!actual.empty()) count_classes(expected[0], actual[0], part);
  }

  Score score() const {
    Score score{.samples = samples_, .relative_error = {}, .top1 = {}, .agreement = {}};
    score.relative_error = signal_ > 0 ? noise_ / signal_ : noise_;
    if (classified_ && samples_ > 0) {
      score.agreement = static_cast<double>(agreed_) / static_cast<double>(samples_);
      if (labelled_) score.top1 = static_cast<double>(hits_) / static_cast<double>(samples_);
    }
    return score;
  }

 private:
  void count_classes(const Tensor& expected, const Tensor& actual, const Samples::Part& part) {
    const int64_t batch = part.inputs.dim(0);
    const auto classes = static_cast<size_t>(actual.size() / std::max<int64_t>(1, batch));
    if (actual.rank() < 2 || actual.dim(0) != batch || classes < 2) {
      classified_ = false;
      return;
    }
    for (int64_t i = 0; i < part.rows; ++i) {
      const size_t begin = static_cast<size_t>(i) * classes;
      const int64_t have = best(actual.data<float>().subspan(begin, classes));
      const int64_t label = part.labels[static_cast<size_t>(i)];
      agreed_ += have == best(expected.data<float>().subspan(begin, classes)) ? 1 : 0;
      labelled_ = labelled_ && label >= 0 && label < static_cast<int64_t>(classes);
      hits_ += have == label ? 1 : 0;
    }
  }

  double signal_ = 0, noise_ = 0;
  int64_t samples_ = 0, hits_ = 0, agreed_ = 0;
  bool classified_ = true, labelled_ = true;
};

std::vector<Tensor> as_floats(std::vector<Tensor> outputs) {
  for (Tensor& output : outputs) output = output.cast(DType::Float32);
  return outputs;
}

}  // namespace

Scorer::Scorer(const ir::Graph& floats, const ir::OpTable& ops, const quant::RunnerFactory& make_runner,
               Samples& samples, Progress& progress)
    : ops_(ops), make_runner_(make_runner), samples_(samples) {
  if (floats.inputs().size() != 1)
    fail("the model has {} inputs; a data set feeds one", floats.inputs().size());
  quant::ModelRuns runs(floats, ops_, make_runner_);
  Tally tally;
  progress.begin("running the float model", 0, "images");
  samples_.rewind();
  while (const auto part = samples_.next()) {
    check_interrupt();
    expected_.push_back(as_floats(runs.run(std::span(&part->inputs, 1))));
    tally.add(expected_.back(), expected_.back(), *part);
    progress.update(tally.score().samples, "");
  }
  progress.end();
  of_float_ = tally.score();
  if (of_float_.samples == 0) fail("there are no samples to evaluate on");
}

Score Scorer::score(const ir::Graph& graph, Progress& progress) {
  quant::ModelRuns runs(graph, ops_, make_runner_);
  Tally tally;
  samples_.rewind();
  size_t index = 0;
  while (const auto part = samples_.next()) {
    check_interrupt();
    tally.add(expected_.at(index++), as_floats(runs.run(std::span(&part->inputs, 1))), *part);
    progress.update(tally.score().samples, "");
  }
  return tally.score();
}

}  // namespace kvant::choose
