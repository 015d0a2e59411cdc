// SPDX-License-Identifier: Apache-2.0
#include "engine/passes/pipeline.h"

namespace kvant::engine {

// Extra outputs kept tensors from being absorbed by fusion; from here on nothing is absorbed.
ir::Pass release_watched(const LoweringOptions& options) {
  const int wanted = options.model_outputs;
  return {"release-watched", "outputs => the model's own outputs", ir::Exactness::BitExact,
          [wanted](ir::Graph& graph, const ir::OpTable&) -> size_t {
            const std::span<const ir::ValueId> outputs = graph.outputs();
            if (wanted < 0 || outputs.size() <= static_cast<size_t>(wanted)) return 0;
            graph.set_outputs({outputs.begin(), outputs.begin() + wanted});
            return 1;
          }};
}

}  // namespace kvant::engine
