// SPDX-License-Identifier: Apache-2.0
// Labelled samples that are gone through again and again, and how well a model does on them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/progress.h"
#include "data/loader.h"
#include "ir/graph.h"
#include "ir/op_def.h"
#include "quant/model_runs.h"

namespace kvant::choose {

// Batches of one size: the last is filled up with zeros, and `rows` counts its samples. They are kept in
// memory up to kKeptBytes in all, and decoded again where they take more.
class Samples {
 public:
  static constexpr size_t kKeptBytes = size_t{512} << 20;
  struct Part {
    Tensor inputs;
    std::vector<int64_t> labels;  // -1 where unlabelled
    int64_t rows = 0;
  };

  // `batch` is the loader's; the loader must outlive it.
  Samples(data::Loader& loader, int64_t batch) : loader_(loader), batch_(batch) {}
  // Starts over.
  void rewind();
  std::optional<Part> next();

 private:
  data::Loader& loader_;
  int64_t batch_;
  std::vector<Part> kept_;
  size_t kept_bytes_ = 0, at_ = 0;
  bool complete_ = false, keeping_ = true, fresh_ = true;
};

// What one pass says of a model next to the float model.
struct Score {
  int64_t samples = 0;
  double relative_error = 0;        // sum (y - y_float)^2 / sum y_float^2 over all outputs
  std::optional<double> top1;       // of labelled classification data; a fraction
  std::optional<double> agreement;  // with the float model's top-1; a fraction
  double sqnr_db() const;           // infinite when nothing differs
};

// Runs models over the same samples. Keeps the float model's outputs: a few numbers a sample.
class Scorer {
 public:
  // `floats` (types inferred) and everything else must outlive it. Runs it once.
  Scorer(const ir::Graph& floats, const ir::OpTable& ops, const quant::RunnerFactory& make_runner,
         Samples& samples, Progress& progress);
  const Score& of_float() const { return of_float_; }
  // Of a graph with the same inputs and outputs. Fails on outputs of another shape and on NaN.
  Score score(const ir::Graph& graph, Progress& progress);

 private:
  const ir::OpTable& ops_;
  const quant::RunnerFactory& make_runner_;
  Samples& samples_;
  std::vector<std::vector<Tensor>> expected_;  // by batch: all float outputs
  Score of_float_;
};

}  // namespace kvant::choose
