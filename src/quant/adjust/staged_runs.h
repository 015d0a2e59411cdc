// SPDX-License-Identifier: Apache-2.0
// A graph computed piece by piece over many batches: each stage goes on from tensors that the stages before
// it left, so that a graph whose constants change on the way is computed once, not once for each change.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quant/calibration_set.h"
#include "quant/model_runs.h"

namespace kvant::quant {

// Tensors by name. Those that a later stage needs are computed with the constants that the graph has when
// the stage of the tensor (or the first that leads to it) is run.
struct Stage {
  std::vector<std::string> shown;  // computed once and for all
  std::vector<std::string> tried;  // what follows from them now; computed again by the stages after it
};

class StagedRuns {
 public:
  // Everything must outlive it. Only constants of `graph` may change between stages.
  StagedRuns(const ir::Graph& graph, const ir::OpTable& ops, const RunnerFactory& make_runner,
             std::vector<Stage> stages);
  ~StagedRuns();

  // Most bytes that are kept between stages for a batch of these inputs.
  int64_t bytes_for(std::span<const Tensor> inputs);
  // The batches that all stages are run on, before the first one.
  void set_batches(std::vector<std::vector<Tensor>> batches);
  size_t batches() const { return kept_.size(); }

  // On to the next stage, with the graph as it is now. Each batch of the stage before has been run.
  void advance();
  // Tensors `shown` and `tried` of this stage, in that order; once for each batch.
  std::vector<Tensor> run(size_t batch);

 private:
  struct Variant;  // of the graph, for inputs of some shapes
  Variant& variant_for(const std::vector<Shape>& shapes);
  void prepare(Variant& variant) const;

  const ir::Graph& graph_;
  const ir::OpTable& ops_;
  const RunnerFactory& make_runner_;
  std::vector<Stage> stages_;
  size_t next_ = 0;  // stage to advance to
  std::map<std::vector<Shape>, std::unique_ptr<Variant>> variants_;
  std::vector<Variant*> variant_of_;                 // by batch
  std::vector<std::map<std::string, Tensor>> kept_;  // by batch
};

// Batches of a part of the data, evenly spread over it, that together cost no more than `limit`; at least
// one. Fails when there is none.
std::vector<std::vector<Tensor>> spread_batches(const CalibrationSet& data, Part part, int64_t limit,
                                                const std::function<int64_t(std::span<const Tensor>)>& cost);

}  // namespace kvant::quant
