// SPDX-License-Identifier: Apache-2.0
// PTQ repair: steps that change the model so that it loses less when it is quantized. Each is a file and a
// line in adjusts.inc; alone or together, always in the order of that list.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/progress.h"
#include "ir/graph.h"
#include "ir/op_def.h"
#include "quant/adjust/rounding.h"
#include "quant/calibration_set.h"
#include "quant/model_runs.h"

namespace kvant::quant {

struct AdjustOptions {
  uint64_t seed = 0;
  std::set<std::string> keep_norms = {};  // names of batch norms that are not to be folded
  int threads = 1;                        // of the steps' own arithmetic; runners have theirs
  // SmoothQuant's migration strength, 0 to 1; not set: chosen for each tensor by the noise that it predicts.
  std::optional<double> smooth_strength;
  RoundingOptions rounding;
  int64_t rounding_rows = 64;  // places of a sample that adaround looks at, at most, for each layer
  // Of tensors that adaround and bias-correction keep on their way through the network; both look at as many
  // samples, spread over the data, as fit.
  int64_t kept_bytes = int64_t{768} << 20;
};

// What a step works on.
struct AdjustJob {
  ir::Graph& graph;            // to change: float (BeforePairs) or QDQ (AfterPairs), types inferred
  const ir::Graph* reference;  // the float graph that the pairs were placed on; null before them
  const ir::OpTable& ops;
  const CalibrationSet& data;  // empty for steps without data
  Part part;                   // that the step may look at
  const RunnerFactory& make_runner;
  const AdjustOptions& options;
  Progress& progress;
  std::string remark = {};  // what was done, for reports: "12 pairs of layers"
  bool changed = true;      // false: the step found nothing to do
};

enum class AdjustStage { BeforePairs, AfterPairs };

struct AdjustEntry {
  std::string_view name;
  AdjustStage stage;
  bool needs_data;
  std::string_view summary;
  void (*apply)(AdjustJob&);
};

// In the order of adjusts.inc, which is the order in which steps run.
std::span<const AdjustEntry> adjusts();

// Chooses the steps by itself: see adjust_and_pair.h.
inline constexpr std::string_view kAutoAdjust = "auto";
// What is done unless something else is asked for.
std::vector<std::string> default_adjusts() noexcept;
// "a,b" => {a, b}, "none" => {}, "auto" => {"auto"}. Fails on an unknown name, with the nearest, on one that
// is given twice, and on none or auto beside others.
std::vector<std::string> parse_adjusts(std::string_view text);

// A step of one quantization, for reports.
struct AdjustRecord {
  std::string name;
  bool kept = true;
  std::optional<double> error_before, error_after;  // of the model's outputs; measured by auto
  double seconds = 0;
  std::string remark;
};

}  // namespace kvant::quant
