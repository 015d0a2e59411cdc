// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/layer_levels.h"

#include <algorithm>

namespace kvant::quant {

std::vector<std::vector<size_t>> levels_of(const ir::Graph& graph, std::span<const WeightedLayer> layers) {
  std::vector<size_t> depth(graph.value_capacity(), 0);  // weighted layers on the longest way to a value
  std::vector<std::vector<size_t>> levels;
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    size_t here = 0;
    for (const ir::ValueId input : node.inputs) {
      if (input != ir::kNone) here = std::max(here, depth[static_cast<size_t>(input)]);
    }
    const auto layer = std::find_if(layers.begin(), layers.end(),
                                    [&](const WeightedLayer& candidate) { return candidate.node == id; });
    if (layer != layers.end()) {
      levels.resize(std::max(levels.size(), here + 1));
      levels[here].push_back(static_cast<size_t>(layer - layers.begin()));
      ++here;
    }
    for (const ir::ValueId output : node.outputs) {
      if (output != ir::kNone) depth[static_cast<size_t>(output)] = here;
    }
  }
  return levels;
}

ReadTensor read_by(const ir::Graph& graph, const WeightedLayer& layer) {
  const auto pair = ir::quantized_behind(graph, layer.data);
  if (!pair || !pair->params.per_tensor()) return {graph.value(layer.data).name, std::nullopt};
  return {graph.value(pair->codes).name, pair->params};
}

std::vector<float> ReadTensor::floats(const Tensor& tensor) const {
  return params ? dequantize(tensor, *params).to_floats() : tensor.to_floats();
}

ir::Graph leading_to(const ir::Graph& graph, std::vector<ir::ValueId> values) {
  ir::Graph part = graph;
  part.set_outputs(std::move(values));
  part.erase_dead();
  return part;
}

}  // namespace kvant::quant
