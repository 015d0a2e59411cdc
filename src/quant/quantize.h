// SPDX-License-Identifier: Apache-2.0
// Post-training quantization, whole: float graph and data in, Q/DQ graph out.
#pragma once

#include <string>
#include <vector>

#include "base/progress.h"
#include "ir/graph.h"
#include "ir/interpreter.h"
#include "ir/op_def.h"
#include "quant/adjust/adjust.h"
#include "quant/calibrate/calibrate.h"
#include "quant/calibration_set.h"
#include "quant/model_runs.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"
#include "quant/targets/target.h"
#include "quant/weight_range.h"

namespace kvant::quant {

struct QuantizeOptions {
  // Its `codes` are those of activations too; affine for 8 bits only. A checkpoint is of the first
  // calibration, where repair steps need several.
  CalibrateOptions calibration;
  WeightCalibrator weights = WeightCalibrator::Max;
  int bits = 8;                                         // 2 to 8; below 8 simulated in int8
  PlaceOptions placement;                               // what gets pairs; may give layers bits of their own
  std::vector<std::string> adjust = default_adjusts();  // repair steps: parse_adjusts()
  AdjustOptions adjusting;
  CalibrationTable ranges;          // known already: only tensors that are not here are calibrated
  std::string target = "tensorrt";  // the form of the result: a name of targets.inc
  TargetOptions target_options;     // its ranges come from the calibration
};

struct QuantizeResult {
  ir::Graph graph;
  PlacementReport report;
  CalibrationTable table;            // every range that was used or given
  std::vector<AdjustRecord> adjust;  // what was done or tried, in order
  TargetReport target;               // what the target changed
};

// The float graph that pairs are placed on: types inferred, constants folded, Identity and (inference)
// Dropout removed, batch norms folded if asked for. Input and output names stay.
void prepare(ir::Graph& graph, const ir::OpTable& ops, bool fold_norms = true);

// prepare(), the repair steps for float graphs, place(), calibrate() what has no range yet, insert_pairs(),
// the repair steps for QDQ graphs. A symbolic batch stays symbolic; a runner is made for each set of input
// shapes that occurs. `data` may be empty when options.ranges has all and no step needs it; steps that do go
// over it several times, and keep up to 512 MiB of it in memory for that. A batch norm that the spec asks to
// quantize is not folded. Fails on a model without anything to quantize, on a spec that does not fit the
// model, and as its parts do.
QuantizeResult quantize(ir::Graph model, const ir::OpTable& ops, CalibrationSet data,
                        const RunnerFactory& make_runner, const QuantizeOptions& options = {},
                        Progress& progress = silent_progress());

}  // namespace kvant::quant
