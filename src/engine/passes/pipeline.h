// SPDX-License-Identifier: Apache-2.0
// The passes that turn a (QDQ or float) graph of static shapes into the lowered form of docs/lowered-ops.md.
#pragma once

#include <string>
#include <vector>

#include "ir/pass.h"

namespace kvant::engine {

enum class Mode {
  Integer,   // quantized regions run on integer codes
  Simulate,  // Q and DQ are executed literally around float operators (also how a float model runs)
};

struct LoweringOptions {
  Mode mode = Mode::Integer;
  // The first outputs of the graph that are the model's own. Further ones were added to keep tensors
  // observable through fusion, and are taken off again before layouts are assigned; -1: all are the model's.
  int model_outputs = -1;
};

// In the order of passes.inc.
std::vector<ir::Pass> default_pipeline(const LoweringOptions& options = {});

}  // namespace kvant::engine
