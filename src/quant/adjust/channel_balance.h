// SPDX-License-Identifier: Apache-2.0
// How much of a tensor's range each of its channels shall fill: the factors that move magnitude from
// activations into the weights that read them, x / s and W s.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "quant/adjust/weighted_layer.h"

namespace kvant::quant {

// The channels of a tensor on data.
struct ChannelRanges {
  std::vector<double> magnitude;  // largest
  std::vector<double> mean_square;
};

// A layer that reads the tensor, and its weight's values in flat order.
struct ChannelReader {
  const WeightedLayer* layer;
  std::span<const double> weight;
};

// s for each channel, geometric mean 1 over the channels that are not dead (all 0 on the data: s = 1). With
// `strength` a: s = m^a / r^(1-a), m the channel's magnitude and r the largest share that it has in the range
// of an output's weights (SmoothQuant's migration strength, Xiao et al. 2022; r is 1 for a depthwise layer).
// Without: of the strengths 1/4, 1/2, 3/4 and 1 and of s = 1 the one with the least noise_power().
std::vector<double> balance_channels(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                                     std::optional<double> strength);

// Power of the rounding errors in the readers' results, in units that compare factors for one tensor:
// activations with one step for the tensor, weights with one for each output, errors uniform and independent.
double noise_power(const ChannelRanges& channels, std::span<const ChannelReader> readers,
                   std::span<const double> factors);

}  // namespace kvant::quant
