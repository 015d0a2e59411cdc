// SPDX-License-Identifier: Apache-2.0
#include "quant/weight_range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::quant {
namespace {

// The elements of a weight by channel of an axis.
struct Channels {
  size_t count = 1, inner = 1, outer = 1;

  Channels(const Tensor& weight, int64_t axis) {
    if (axis == QuantParams::kPerTensor) {
      inner = static_cast<size_t>(weight.size());
      return;
    }
    const auto at = static_cast<size_t>(normalize_axis(axis, weight.rank()));
    count = static_cast<size_t>(weight.dim(at));
    for (size_t i = 0; i < weight.rank(); ++i) {
      if (i != at) (i < at ? outer : inner) *= static_cast<size_t>(weight.dim(i));
    }
  }
  void gather(std::span<const float> values, size_t channel, std::vector<float>& out) const {
    out.clear();
    for (size_t o = 0; o < outer; ++o) {
      const auto begin = values.begin() + static_cast<ptrdiff_t>((o * count + channel) * inner);
      out.insert(out.end(), begin, begin + static_cast<ptrdiff_t>(inner));
    }
  }
};

// Sum of squared errors of the magnitudes under codes 0 to `top`; magnitudes are at most top * scale * 2^15.
double squared_error(std::span<const float> magnitudes, float amax, float top) {
  constexpr float kRounder = 0x1.8p23f;  // adding and taking it away rounds half to even, in plain SIMD
  const float scale = amax / top, inverse = 1 / scale;
  std::array<float, 8> sums{};
  double total = 0;
  size_t i = 0;
  // Short float sums, added up in double: the order is fixed, so the result is too.
  for (; i + 8 <= magnitudes.size(); i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) {
      const float x = magnitudes[i + lane];
      const float error = x - (std::min(x * inverse, top) + kRounder - kRounder) * scale;
      sums[lane] += error * error;
    }
    if (i % 1024 != 0) continue;
    for (float& sum : sums) total += std::exchange(sum, 0.0f);
  }
  for (const float sum : sums) total += sum;
  for (; i < magnitudes.size(); ++i) {
    const float error =
        magnitudes[i] - (std::min(magnitudes[i] * inverse, top) + kRounder - kRounder) * scale;
    total += error * error;
  }
  return total;
}

// The range in (0, amax] with the least squared error: a grid of 1/64 of amax, then 1/1024 around the best.
// Magnitudes are scaled to 1 first, so that squares neither over- nor underflow.
float least_error_amax(std::vector<float>& magnitudes, float amax, int bits) {
  if (symmetric_scale(amax, bits) < std::numeric_limits<float>::min()) return amax;
  for (float& x : magnitudes) x = std::fabs(x) / amax;
  const auto top = static_cast<float>((1 << (bits - 1)) - 1);
  int best = 1024;
  double least = squared_error(magnitudes, 1, top);
  const auto try_one = [&](int share) {
    const double error = squared_error(magnitudes, static_cast<float>(share) / 1024, top);
    if (error < least) {
      least = error;
      best = share;
    }
  };
  for (int share = 1008; share >= 128; share -= 16) try_one(share);
  const int middle = best;
  for (int share = std::min(middle + 15, 1023); share > middle - 16; --share) try_one(share);
  return amax * (static_cast<float>(best) / 1024);
}

}  // namespace

std::vector<float> weight_amax(const Tensor& weight, int64_t axis, std::string_view what) {
  const Tensor floats = weight.cast(DType::Float32);
  const std::span<const float> values = floats.data<float>();
  const Channels channels(weight, axis);
  std::vector<float> amax(channels.count, 0.0f);
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t channel = i / channels.inner % channels.count;
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

WeightCalibrator weight_calibrator_named(std::string_view name) {
  if (name == "max") return WeightCalibrator::Max;
  if (name == "mse") return WeightCalibrator::Mse;
  const std::vector<std::string> known = {"max", "mse"};
  fail("there is no calibrator '{}' for weights{}", name, nearest_hint(name, known));
}

std::vector<float> weight_ranges(const Tensor& weight, int64_t axis, int bits, WeightCalibrator calibrator,
                                 std::string_view what) {
  std::vector<float> amax = weight_amax(weight, axis, what);
  if (calibrator == WeightCalibrator::Max) return amax;
  const Tensor floats = weight.cast(DType::Float32);
  const Channels channels(weight, axis);
  std::vector<float> values;
  for (size_t channel = 0; channel < channels.count; ++channel) {
    channels.gather(floats.data<float>(), channel, values);
    amax[channel] = least_error_amax(values, amax[channel], bits);
  }
  return amax;
}

std::optional<Tensor> cut_to_codes(const Tensor& weight, const QuantParams& params, int bits) {
  Tensor floats = weight.cast(DType::Float32);
  const std::span<float> values = floats.mutable_data<float>();
  const Channels channels(weight, params.axis);
  const auto top = static_cast<float>((1 << (bits - 1)) - 1);
  bool cut = false;
  for (size_t i = 0; i < values.size(); ++i) {
    const float scale = params.scale[i / channels.inner % channels.count];
    if (std::fabs(std::nearbyintf(values[i] / scale)) <= top) continue;
    values[i] = std::copysign(top * scale, values[i]);
    cut = true;
  }
  if (!cut) return std::nullopt;
  return floats.cast(weight.dtype());
}

QuantParams weight_params(const Tensor& weight, int64_t axis, int bits, std::string_view what,
                          WeightCalibrator calibrator) {
  QuantParams params{.dtype = DType::Int8, .scale = {}, .zero_point = {}, .axis = axis};
  for (const float amax : weight_ranges(weight, axis, bits, calibrator, what)) {
    params.scale.push_back(safe_scale(amax, bits));
  }
  return params;
}

}  // namespace kvant::quant
