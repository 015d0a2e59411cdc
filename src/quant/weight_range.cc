// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_range.h"

#include <cmath>
#include <limits>

namespace kvant::quant {

std::vector<float> weight_amax(const Tensor& weight, int64_t axis, std::string_view what) {
  const Tensor floats = weight.cast(DType::Float32);
  const std::span<const float> values = floats.data<float>();
  size_t channels = 1, inner = values.size();
  if (axis != QuantParams::kPerTensor) {
    const auto at = static_cast<size_t>(normalize_axis(axis, weight.rank()));
    channels = static_cast<size_t>(weight.dim(at));
    inner = 1;
    for (size_t i = at + 1; i < weight.rank(); ++i) inner *= static_cast<size_t>(weight.dim(i));
  }
  std::vector<float> amax(channels, 0.0f);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i / inner % channels;
    const float magnitude = std::fabs(values[i]);
    if (!std::isfinite(magnitude)) fail("{} holds NaN or infinity (channel {})", what, channel);
    amax[channel] = std::max(amax[channel], magnitude);
  }
  return amax;
}

float safe_scale(float amax, int bits) {
  const float scale = symmetric_scale(amax, bits);
  return scale < std::numeric_limits<float>::min() ? 1.0f : scale;
}

QuantParams weight_params(const Tensor& weight, int64_t axis, int bits, std::string_view what) {
  QuantParams params{.dtype = DType::Int8, .scale = {}, .zero_point = {}, .axis = axis};
  for (const float amax : weight_amax(weight, axis, what)) params.scale.push_back(safe_scale(amax, bits));
  return params;
}

}  // namespace kvant::quant
