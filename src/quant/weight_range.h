// SPDX-License-Identifier: Apache-2.0
// Ranges and scales of weights.
#pragma once

#include <string_view>
#include <vector>

#include "tensor/quantize.h"

namespace kvant::quant {

// Largest magnitude for each index of `axis` (one for the whole tensor when kPerTensor); float weights. Fails
// if the tensor holds NaN or infinity, naming `what` and the channel.
std::vector<float> weight_amax(const Tensor& weight, int64_t axis, std::string_view what = "the weight");
// amax / (2^(bits-1) - 1), and 1 where that is zero or below the normal floats: the codes are all 0 then.
float safe_scale(float amax, int bits);
// Symmetric int8 parameters of a weight by its largest magnitudes.
QuantParams weight_params(const Tensor& weight, int64_t axis, int bits = 8,
                          std::string_view what = "the weight");

}  // namespace kvant::quant
