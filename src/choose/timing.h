// SPDX-License-Identifier: Apache-2.0
// How long a model takes on the engine, in all and layer by layer.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>

#include "engine/backend.h"
#include "ir/graph.h"
#include "ir/op_def.h"

namespace kvant::choose {

struct TimingOptions {
  int64_t batch = 1;
  int threads = 0;          // 0: the cores available
  int64_t iterations = 50;  // timed runs, after a tenth as many to warm up
};

struct Timing {
  double total_ms = 0;  // median of whole runs, without profiling
  // By the model's node: time of the step that computes it, the median over rounds of runs. A step that
  // computes several nodes counts for the weighted one among them, else the first; the others have an entry
  // in `fused`.
  std::map<std::string, double> ms;
  std::map<std::string, std::string> fused;  // node => the node that has the time
};

// Builds `graph` (float or QDQ) for integers and runs it on random inputs. Rounds that take more than 5 s
// are cut short.
Timing time_model(const ir::Graph& graph, const ir::OpTable& ops,
                  std::span<const engine::Backend* const> backends, const TimingOptions& options = {});

struct Race {
  double reference_ms = 0, ms = 0;  // medians
};

// Runs two models with the same inputs in turns, a few runs each, so that what else goes on in the machine
// hits both alike. Cut short as time_model() is.
Race race(const ir::Graph& reference, const ir::Graph& graph, const ir::OpTable& ops,
          std::span<const engine::Backend* const> backends, const TimingOptions& options = {});

}  // namespace kvant::choose
