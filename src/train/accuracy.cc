// SPDX-License-Identifier: Apache-2.0
#include "train/accuracy.h"

#include <algorithm>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/torch_runner.h"
#include "train/train.h"

namespace kvant::train {

int64_t count_correct(const Tensor& logits, const std::vector<int64_t>& labels) {
  if (logits.dtype() != DType::Float32 || logits.rank() != 2 ||
      logits.dim(0) != static_cast<int64_t>(labels.size())) {
    fail("the model's output is {}, top-1 needs [batch, classes]", to_string(logits.shape()));
  }
  const std::span<const float> values = logits.data<float>();
  const auto classes = static_cast<size_t>(logits.dim(1));
  int64_t correct = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= logits.dim(1)) {
      fail("label {} does not fit the model, whose output has {} classes", labels[i], classes);
    }
    const auto row = values.subspan(i * classes, classes);
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    if (best == labels[i]) ++correct;
  }
  return correct;
}

double top1_over(BatchSource& source, int64_t epoch, const std::function<Tensor(const Tensor&)>& forward,
                 Progress& progress) {
  source.seek(epoch, 0);
  progress.begin("evaluating", source.images(), "images");
  int64_t correct = 0, seen = 0;
  while (auto batch = source.next()) {
    check_interrupt();
    correct += count_correct(forward(batch->images), batch->labels);
    seen += static_cast<int64_t>(batch->labels.size());
    const double percent = 100.0 * static_cast<double>(correct) / static_cast<double>(seen);
    progress.update(seen, fmt::format("top-1 {:.2f} %", percent));
  }
  progress.end();
  if (seen == 0) fail("there is no image to evaluate");
  return 100.0 * static_cast<double>(correct) / static_cast<double>(seen);
}

double evaluate_top1(const ir::Graph& graph, BatchSource& source, int threads, Progress& progress) {
  TorchRunner runner(graph, threads);
  const auto forward = [&](const Tensor& images) { return runner.run(std::span(&images, 1)).at(0); };
  return top1_over(source, 0, forward, progress);
}

}  // namespace kvant::train
