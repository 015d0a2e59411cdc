// SPDX-License-Identifier: Apache-2.0
// Post-training quantization, whole: float graph and data in, Q/DQ graph out.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/progress.h"
#include "ir/graph.h"
#include "ir/interpreter.h"
#include "ir/op_def.h"
#include "quant/calibrate/calibrate.h"
#include "quant/placement/insert.h"

namespace kvant::quant {

// What may be done to the float graph before pairs are placed.
enum class Adjust { None, FoldBatchNorm };

struct QuantizeOptions {
  CalibrateOptions calibration;
  int bits = 8;  // 2 to 8; below 8 simulated in int8
  Adjust adjust = Adjust::FoldBatchNorm;
  CalibrationTable ranges;  // known already: only tensors that are not here are calibrated
};

struct QuantizeResult {
  ir::Graph graph;
  PlacementReport report;
  CalibrationTable table;  // every range that was used or given
};

// Makes what runs a float graph whose shapes are all known. The graph outlives the runner.
using RunnerFactory = std::function<std::unique_ptr<ir::Runner>(const ir::Graph&)>;

// The float graph that pairs are placed on: types inferred, constants folded, Identity and (inference)
// Dropout removed, batch norms folded if asked for. Input and output names stay.
void prepare(ir::Graph& graph, const ir::OpTable& ops, Adjust adjust = Adjust::FoldBatchNorm);

// prepare(), place(), calibrate() what has no range yet, insert_pairs(). A symbolic batch stays symbolic; a
// runner is made for each set of input shapes that occurs. `batches` may be empty when options.ranges has
// all. Fails on a model without anything to quantize, and as its parts do.
QuantizeResult quantize(ir::Graph model, const ir::OpTable& ops, const BatchSource& batches,
                        const RunnerFactory& make_runner, const QuantizeOptions& options = {},
                        Progress& progress = silent_progress());

}  // namespace kvant::quant
