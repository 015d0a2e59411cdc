// SPDX-License-Identifier: Apache-2.0
// Layers by depth, and the part of a graph that leads to some of them: how steps go through a network layer
// by layer without running all of it each time.
#pragma once

#include <span>
#include <vector>

#include "quant/adjust/weighted_layer.h"

namespace kvant::quant {

// Groups of layers (indices into `layers`) of which none depends on another of its group; each group comes
// after those that it depends on.
std::vector<std::vector<size_t>> levels_of(const ir::Graph& graph, std::span<const WeightedLayer> layers);

// The tensor that a layer reads, as small as the graph has it: the codes of its pair, or else floats.
struct ReadTensor {
  std::string name;
  std::optional<QuantParams> params;  // of codes
  std::vector<float> floats(const Tensor& tensor) const;
};
ReadTensor read_by(const ir::Graph& graph, const WeightedLayer& layer);

// A copy of the graph that computes just `values`, as its outputs in that order. Its inputs stay.
ir::Graph leading_to(const ir::Graph& graph, std::vector<ir::ValueId> values);

}  // namespace kvant::quant
