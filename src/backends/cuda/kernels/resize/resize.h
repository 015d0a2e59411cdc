// SPDX-License-Identifier: Apache-2.0
// Resize of floats by weighted sums along two axes (linear, cubic), in double as the operator is. Nearest is
// a gather (kernels/move).
#pragma once

#include <cstdint>

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

// x is [outer, first input, between, second input, inner], y the same with the outputs' lengths. The sum
// along the second axis comes first.
struct ResizeDesc {
  int64_t outer = 1, between = 1, inner = 1;
  int64_t first_input = 1, first_output = 1, second_input = 1, second_output = 1;
  int32_t first_taps = 1, second_taps = 1;  // of an output coordinate at most
  float extrapolation = 0;
};

// The tables of an axis: index i32 [output, taps], weight f64 [output, taps]. An index of kNoTap ends the
// taps of a coordinate, kOutside makes it the extrapolation value.
inline constexpr int32_t kNoTap = -1, kOutside = -2;
struct ResizeTables {
  const void *first_index, *first_weight, *second_index, *second_weight;
};
Launch resize_launch(const ResizeDesc& desc, const ResizeTables& tables, const void* x, void* y);

}  // namespace kvant::backends::cuda
