// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/pipeline.h"

namespace kvant::engine {

#define KVANT_ENTRY(function, modes) ir::Pass function(const LoweringOptions& options);
#include "engine/passes/passes.inc"
#undef KVANT_ENTRY

std::vector<ir::Pass> default_pipeline(const LoweringOptions& options) {
  constexpr int kInteger = 1, kSimulate = 2, kAll = kInteger | kSimulate;
  const int mode = options.mode == Mode::Integer ? kInteger : kSimulate;
  std::vector<ir::Pass> passes;
#define KVANT_ENTRY(function, modes) \
  if (((modes)&mode) != 0) passes.push_back(function(options));
#include "engine/passes/passes.inc"
#undef KVANT_ENTRY
  static_cast<void>(kAll);
  return passes;
}

}  // namespace kvant::engine
