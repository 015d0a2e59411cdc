// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/channel_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace kvant::quant {

void ChannelStatistics::add(const Tensor& values, size_t axis) {
  KVANT_CHECK(axis < values.rank() && is_float(values.dtype()), "statistics need float channels");
  const auto channels = static_cast<size_t>(values.dim(axis));
  if (sum.empty()) {
    low.assign(channels, std::numeric_limits<float>::infinity());
    high.assign(channels, -std::numeric_limits<float>::infinity());
    sum.assign(channels, 0);
    squares.assign(channels, 0);
  }
  if (channels != sum.size())
    fail("a tensor has {} channels in one batch and {} in another", sum.size(), channels);
  const Tensor floats = values.cast(DType::Float32);
  const std::span<const float> all = floats.data<float>();
  size_t inner = 1;
  for (size_t i = axis + 1; i < values.rank(); ++i) inner *= static_cast<size_t>(values.dim(i));
  if (all.empty()) return;
  const size_t outer = all.size() / (channels * inner);
  for (size_t o = 0; o < outer; ++o) {
    for (size_t c = 0; c < channels; ++c) {
      const float* x = all.data() + (o * channels + c) * inner;
      double total = 0, square = 0;
      float lowest = low[c], highest = high[c];
      for (size_t i = 0; i < inner; ++i) {
        total += x[i];
        square += static_cast<double>(x[i]) * x[i];
        lowest = std::min(lowest, x[i]);
        highest = std::max(highest, x[i]);
      }
      if (!std::isfinite(total)) fail("a tensor holds NaN or infinity: check the model and the data");
      sum[c] += total;
      squares[c] += square;
      low[c] = lowest;
      high[c] = highest;
    }
  }
  count += static_cast<double>(outer * inner);
}

double ChannelStatistics::deviation(size_t channel) const {
  const double m = mean(channel);
  return std::sqrt(std::max(0.0, mean_square(channel) - m * m));
}

float ChannelStatistics::magnitude(size_t channel) const {
  return std::max(std::fabs(low[channel]), std::fabs(high[channel]));
}

}  // namespace kvant::quant
