// SPDX-License-Identifier: Apache-2.0
// Ranges and scales of weights.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "tensor/quantize.h"

namespace kvant::quant {

// Largest magnitude for each index of `axis` (one for the whole tensor when kPerTensor); float weights. Fails
// if the tensor holds NaN or infinity, naming `what` and the channel.
std::vector<float> weight_amax(const Tensor& weight, int64_t axis, std::string_view what = "the weight");
// amax / (2^(bits-1) - 1), and 1 where that is zero or below the normal floats: the codes are all 0 then.
float safe_scale(float amax, int bits);

// How the range of a weight's channel is found: its largest magnitude, or the one with the least mean squared
// error of the codes in [-(2^(bits-1) - 1), 2^(bits-1) - 1] (at most the largest magnitude).
enum class WeightCalibrator { Max, Mse };
// "max" or "mse"; fails on anything else.
WeightCalibrator weight_calibrator_named(std::string_view name);
// As weight_amax(), by the calibrator.
std::vector<float> weight_ranges(const Tensor& weight, int64_t axis, int bits, WeightCalibrator calibrator,
                                 std::string_view what = "the weight");

// The weight with what lies beyond the outermost codes -(2^(bits-1) - 1) and 2^(bits-1) - 1 moved to them;
// nothing if every value rounds to a code within.
std::optional<Tensor> cut_to_codes(const Tensor& weight, const QuantParams& params, int bits);

// Symmetric int8 parameters of a weight: one scale for each index of `axis`; channels of zeros get scale 1.
QuantParams weight_params(const Tensor& weight, int64_t axis, int bits = 8,
                          std::string_view what = "the weight",
                          WeightCalibrator calibrator = WeightCalibrator::Max);

}  // namespace kvant::quant
