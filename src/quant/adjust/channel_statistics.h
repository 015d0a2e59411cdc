// SPDX-License-Identifier: Apache-2.0
// Statistics of a tensor by channel, added up over batches in constant memory.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::quant {

struct ChannelStatistics {
  std::vector<float> low, high;      // of all values seen
  std::vector<double> sum, squares;  // by channel
  double count = 0;                  // values of one channel

  // Fails on a number of channels other than before and on NaN or infinity. `axis` counts the channels.
  void add(const Tensor& values, size_t axis);
  double mean(size_t channel) const { return sum[channel] / count; }
  double mean_square(size_t channel) const { return squares[channel] / count; }
  double deviation(size_t channel) const;
  float magnitude(size_t channel) const;  // largest
};

}  // namespace kvant::quant
