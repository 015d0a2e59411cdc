// SPDX-License-Identifier: Apache-2.0
// The repair steps around the insertion of pairs: those for the float graph, pairs, those for the QDQ graph;
// all that were asked for, or those that help.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "quant/adjust/adjust.h"
#include "quant/quantize.h"

namespace kvant::quant {

// Placement, calibration and insertion of pairs for a float graph.
using PairUp = std::function<QuantizeResult(const ir::Graph& floats)>;

struct AdjustTools {
  const ir::OpTable& ops;
  const CalibrationSet& data;
  const RunnerFactory& make_runner;
  const AdjustOptions& options;
  Progress& progress;
};

// Applies the steps `names` in the order of adjusts.inc; their records end up in the result. With {"auto"}
// every step is tried in that order on top of those kept before it, fitted on four fifths of the samples, and
// kept if it lowers the error of the model's outputs on the other fifth (OutputError; every 5th sample is
// held out). Ranges come from all samples in either case. fold-batch-norm changes no result: auto keeps it
// always, unmeasured. Fails where a step needs data that is not there, and with auto on fewer than 5 samples.
QuantizeResult adjust_and_pair(ir::Graph floats, const std::vector<std::string>& names, const PairUp& pair_up,
                               const AdjustTools& tools);

// The error of `quantized` against `floats` on a part of the samples. Fails when that part is empty.
double output_error(const ir::Graph& floats, const ir::Graph& quantized, Part part, const AdjustTools& tools);

}  // namespace kvant::quant
