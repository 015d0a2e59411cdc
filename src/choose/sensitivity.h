// SPDX-License-Identifier: Apache-2.0
// What each layer's quantization costs in accuracy when only it is quantized, and what it buys in time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/progress.h"
#include "choose/samples.h"
#include "choose/timing.h"
#include "engine/backend.h"
#include "ir/graph.h"
#include "ir/op_def.h"
#include "quant/model_runs.h"

namespace kvant::choose {

struct LayerCost {
  std::string name, op;
  Score score;  // of the model in which only this layer is quantized
  // Measured in the float plan and in the plan with every layer quantized. Nothing where another layer's
  // kernel computes it: its name is `fused_into` then.
  std::optional<double> float_ms, int8_ms;
  std::string fused_into;  // in the quantized plan
};

struct Sensitivity {
  Score of_float, of_quantized;      // all in float; all quantized
  double float_ms = 0, int8_ms = 0;  // whole plans, median
  std::vector<LayerCost> layers;     // largest error first
  size_t left = 0;                   // layers that the budget did not reach
};

struct SensitivityOptions {
  TimingOptions timing;
  double budget_seconds = 0;  // 0: no limit; the layer under way is finished
  // Scores are written here after every layer, and taken from here with `resume`; empty: nowhere.
  std::filesystem::path state;
  bool resume = false;
  std::string data;  // what the samples are, for the state's fingerprint
};

// `qdq` has every layer quantized, types inferred. One pass over the samples for each layer. Fails on a model
// without quantized layers, and with `resume` on a state of another model or other data.
Sensitivity sensitivity(const ir::Graph& qdq, const ir::OpTable& ops, Samples& samples,
                        const quant::RunnerFactory& make_runner,
                        std::span<const engine::Backend* const> backends,
                        const SensitivityOptions& options = {}, Progress& progress = silent_progress());

}  // namespace kvant::choose
