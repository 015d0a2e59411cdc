// SPDX-License-Identifier: Apache-2.0
#include "train/accuracy.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/torch_runner.h"
#include "train/train.h"

namespace kvant::train {
namespace {

void require_rows(const Tensor& logits) {
  if (logits.dtype() != DType::Float32 || logits.rank() != 2 || logits.dim(1) < 1) {
    fail("the model's output is {}, top-1 needs [batch, classes]", to_string(logits.shape()));
  }
}

// log(sum(exp(row))), without overflow.
double log_sum_exp(std::span<const float> row) {
  const double peak = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const float v : row) sum += std::exp(v - peak);
  return peak + std::log(sum);
}

}  // namespace

std::vector<int64_t> largest(const Tensor& logits) {
  require_rows(logits);
  const std::span<const float> values = logits.data<float>();
  const auto classes = static_cast<size_t>(logits.dim(1));
  std::vector<int64_t> places;
  for (size_t i = 0; i < values.size(); i += classes) {
    const auto row = values.subspan(i, classes);
    places.push_back(std::max_element(row.begin(), row.end()) - row.begin());
  }
  return places;
}

int64_t count_correct(const Tensor& logits, const std::vector<int64_t>& labels) {
  const std::vector<int64_t> places = largest(logits);
  KVANT_CHECK(places.size() == labels.size(), "one label for each row");
  int64_t correct = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= logits.dim(1)) {
      fail("label {} does not fit the model, whose output has {} classes", labels[i], logits.dim(1));
    }
    if (places[i] == labels[i]) ++correct;
  }
  return correct;
}

double divergence_sum(const Tensor& wanted, const Tensor& given) {
  require_rows(given);
  require_rows(wanted);
  if (wanted.shape() != given.shape()) {
    fail("the teacher's output is {}, the model's {}", to_string(wanted.shape()), to_string(given.shape()));
  }
  const auto classes = static_cast<size_t>(given.dim(1));
  double total = 0;
  for (size_t i = 0; i < static_cast<size_t>(given.size()); i += classes) {
    const auto p = wanted.data<float>().subspan(i, classes), q = given.data<float>().subspan(i, classes);
    const double p_norm = log_sum_exp(p), q_norm = log_sum_exp(q);
    for (size_t k = 0; k < classes; ++k) {
      const double log_p = p[k] - p_norm;
      total += std::exp(log_p) * (log_p - (q[k] - q_norm));
    }
  }
  return total;
}

Scores score_over(BatchSource& source, int64_t epoch, const Forward& forward, const Forward& teacher,
                  Progress& progress) {
  source.seek(epoch, 0);
  progress.begin("evaluating", source.images(), "images");
  const bool labelled = source.labelled();
  int64_t correct = 0, agreed = 0, seen = 0;
  double divergence = 0;
  const auto percent = [&](int64_t n) { return 100.0 * static_cast<double>(n) / static_cast<double>(seen); };
  while (auto batch = source.next()) {
    check_interrupt();
    const Tensor logits = forward(batch->images);
    seen += batch->images.dim(0);
    if (labelled) correct += count_correct(logits, batch->labels);
    if (teacher) {
      const Tensor wanted = teacher(batch->images);
      agreed += count_correct(logits, largest(wanted));
      divergence += divergence_sum(wanted, logits);
    }
    progress.update(seen, labelled ? fmt::format("top-1 {:.2f} %", percent(correct))
                                   : fmt::format("agreement {:.2f} %", percent(agreed)));
  }
  progress.end();
  if (seen == 0) fail("there is no image to evaluate");
  Scores scores;
  if (labelled) scores.top1 = percent(correct);
  if (teacher) {
    scores.agreement = percent(agreed);
    // Rounding may leave the sum of equal outputs a little below 0, which would mean "not measured".
    scores.divergence = divergence < 0 ? 0 : divergence / static_cast<double>(seen);
  }
  return scores;
}

double evaluate_top1(const ir::Graph& graph, BatchSource& source, int threads, Progress& progress) {
  if (!source.labelled()) fail("the images to evaluate have no labels");
  TorchRunner runner(graph, threads);
  const auto forward = [&](const Tensor& images) { return runner.run(std::span(&images, 1)).at(0); };
  return score_over(source, 0, forward, {}, progress).top1;
}

}  // namespace kvant::train
