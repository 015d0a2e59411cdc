// SPDX-License-Identifier: Apache-2.0
// The fake-quantize kernels of training: forward, straight-through backward and LSQ backward over a run of
// floats with one scale. Codes are given without the zero point (low - zero_point, high - zero_point), which
// is exact. Free of torch: the plug-in compiles this file too.
#pragma once

#include <cstdint>

namespace kvant::train {

// y = clamp(round_even(x / scale), low, high) * scale: bit for bit kvant::fake_quantize for finite x and
// codes of up to 16 bits. NaN stays NaN, so that a diverged network shows.
void fake_quantize(const float* x, float* y, int64_t n, float scale, float low, float high);

// gx = g where low <= round_even(x / scale) <= high, else 0 (ATen's mask: on the rounded value).
void fake_quantize_backward(const float* x, const float* g, float* gx, int64_t n, float scale, float low,
                            float high);

// The same, and returns d loss / d scale: sum of g * (q - x / scale) inside, g * q outside (LSQ, Esser et al.
// 2020, without its gradient scale). Summed in a fixed order.
double fake_quantize_backward_scale(const float* x, const float* g, float* gx, int64_t n, float scale,
                                    float low, float high);

// max |x|; 0 for n == 0. NaN is passed over.
float max_magnitude(const float* x, int64_t n);

// Widens [*low, *high] to hold every x. NaN is passed over.
void widen_range(const float* x, int64_t n, float* low, float* high);

// The smallest scale whose codes low..high (without the zero point; low <= 0 <= high) reach from `least` to
// `most`; 0 when the range is empty. Where the codes are an integer type's symmetric ones (-128..127) the
// lowest is left out, so that it is max(|least|, |most|) / high.
float covering_scale(float least, float most, float low, float high);

}  // namespace kvant::train
