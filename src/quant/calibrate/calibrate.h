// SPDX-License-Identifier: Apache-2.0
// Ranges from data: batches go through something that runs the float graph, calibrators watch the tensors
// asked for. One pass, and memory that does not depend on how many samples there are.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data/loader.h"
#include "ir/graph.h"
#include "ir/interpreter.h"
#include "quant/calibrate/calibration_table.h"

namespace kvant::quant {

// The next batch as the graph's inputs in order, or nothing at the end (and ever after).
using BatchSource = std::function<std::optional<std::vector<Tensor>>()>;

// One epoch of a loader's samples, for a graph of one input. The loader must outlive it.
BatchSource batches_of(data::Loader& loader);
// Batches that are there already.
BatchSource batches_of(std::vector<std::vector<Tensor>> batches);

struct CalibrateOptions {
  std::string calibrator = "max";
  CalibratorOptions options;
  // Tensors that differ: by name, another calibrator or other bits than above. Entries for tensors that are
  // not calibrated change nothing.
  std::map<std::string, std::string> calibrator_of = {};
  std::map<std::string, int> bits_of = {};
  int64_t expected_samples = 0;  // for the progress bar; 0: not known
  // Where the calibration is kept when it is interrupted (base/interrupt.h) and after so long;
  // empty: nowhere. The caller removes it when the result is safe.
  std::filesystem::path checkpoint = {};
  double checkpoint_seconds = 30;
  bool resume = false;  // go on from the checkpoint if there is one: the ranges are as without the stop
};

// The runner for a batch of these inputs: their shapes may differ from batch to batch. Runners live until the
// end of the calibration, and each is told once what to watch.
using RunnerFor = std::function<ir::Runner&(std::span<const Tensor> inputs)>;

// Watches `tensors` (names of values; graph inputs too) over all batches. Samples are counted by the first
// dimension of the first input. Fails on an unknown tensor or calibrator, when there is no batch, and on NaN
// or infinity in a watched tensor, naming it and the batch. Resumed, the batches that were seen are taken
// from the source again, compared by fingerprint and not run; fails if they differ, or if the checkpoint is
// of another model, other tensors or options.
CalibrationTable calibrate(const ir::Graph& graph, const std::vector<std::string>& tensors,
                           const RunnerFor& runner_for, const BatchSource& batches,
                           const CalibrateOptions& options = {}, Progress& progress = silent_progress());
CalibrationTable calibrate(const ir::Graph& graph, const std::vector<std::string>& tensors,
                           ir::Runner& runner, const BatchSource& batches,
                           const CalibrateOptions& options = {}, Progress& progress = silent_progress());

}  // namespace kvant::quant
