// SPDX-License-Identifier: Apache-2.0
#include "cli/classify.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "base/interrupt.h"

namespace kvant::cli {
namespace {

double cross_entropy(std::span<const float> row, size_t label) {
  double sum = 0;
  bool probabilities = true;
  for (const float x : row) {
    probabilities = probabilities && x >= 0 && x <= 1.0001f;
    sum += x;
  }
  if (probabilities && std::abs(sum - 1.0) < 1e-3) return -std::log(std::max<double>(row[label], 1e-12));
  const double top = *std::ranges::max_element(row);
  double total = 0;
  for (const float x : row) total += std::exp(x - top);
  return std::log(total) + top - row[label];
}

void count_row(std::span<const float> row, int64_t label, Accuracy& accuracy) {
  if (label < 0 || label >= static_cast<int64_t>(row.size())) {
    fail("a label is {}, but the model has {} outputs: wrong dataset or wrong model", label, row.size());
  }
  const float own = row[static_cast<size_t>(label)];
  if (std::ranges::any_of(row, [](float x) { return std::isnan(x); })) fail("the model gives NaN");
  // Rank as argmax sees it: an equal value earlier in the row goes before.
  int64_t before = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] > own || (row[i] == own && static_cast<int64_t>(i) < label)) ++before;
  }
  accuracy.top1 += before == 0 ? 1 : 0;
  accuracy.top5 += before < 5 ? 1 : 0;
  accuracy.loss += cross_entropy(row, static_cast<size_t>(label));
  ++accuracy.samples;
}

}  // namespace

int64_t argmax(std::span<const float> row) { return std::ranges::max_element(row) - row.begin(); }

Tensor run_batch(ir::Runner& runner, const Tensor& samples, int64_t batch,
                 const ir::Runner::Observer& observer) {
  const int64_t n = samples.dim(0);
  if (n == batch) return runner.run(std::span(&samples, 1), observer)[0];
  Shape shape = samples.shape();
  shape[0] = batch;
  Tensor full(samples.dtype(), shape);
  std::memcpy(full.mutable_raw(), samples.raw(), samples.byte_size());
  const Tensor output = runner.run(std::span(&full, 1), observer)[0];
  if (output.rank() == 0 || output.dim(0) != batch)
    fail("the model's output does not keep the batch: it has shape {}", to_string(output.shape()));
  Shape cut = output.shape();
  cut[0] = n;
  Tensor result(output.dtype(), cut);
  std::memcpy(result.mutable_raw(), output.raw(), result.byte_size());
  return result;
}

Accuracy classify(const LoadedModel& model, data::Loader& loader, int64_t samples, Progress& progress) {
  using Clock = std::chrono::steady_clock;
  Accuracy accuracy;
  progress.begin("evaluating", samples, "images");
  while (std::optional<data::Batch> batch = loader.next()) {
    check_interrupt();
    const auto start = Clock::now();
    const Tensor output = run_batch(*model.runner, batch->samples, model.batch).cast(DType::Float32);
    accuracy.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    const int64_t classes = output.size() / std::max<int64_t>(1, batch->size());
    if (output.rank() < 2 || output.dim(0) != batch->size() || classes == 0) {
      fail("the model's output has shape {}; evaluation needs one row of class scores for each image",
           to_string(output.shape()));
    }
    const std::span<const float> rows = output.data<float>();
    for (int64_t i = 0; i < batch->size(); ++i) {
      count_row(rows.subspan(static_cast<size_t>(i * classes), static_cast<size_t>(classes)),
                batch->labels.data<int64_t>()[static_cast<size_t>(i)], accuracy);
    }
    progress.update(accuracy.samples,
                    fmt::format("top-1 {:.2f} %", 100.0 * static_cast<double>(accuracy.top1) /
                                                      static_cast<double>(accuracy.samples)));
  }
  progress.end();
  accuracy.loss /= static_cast<double>(std::max<int64_t>(1, accuracy.samples));
  return accuracy;
}

}  // namespace kvant::cli
