// SPDX-License-Identifier: Apache-2.0
// Reductions of floats over axes: ReduceMean, ReduceSum (both summed in double, as the operators are),
// ReduceMax, ReduceMin.
#pragma once

#include <array>
#include <cstdint>

namespace kvant::backends::cuda {

struct Launch;  // kernels/launch.h

enum class Reduction : int32_t { Mean, Sum, Max, Min };

// Axes of x, the slowest first, those that stay and those that go; strides of x in elements. y is dense over
// the axes that stay. No axis has length 0.
struct ReduceDesc {
  static constexpr int kMaxRank = 4;
  Reduction kind = Reduction::Mean;
  int32_t kept = 0, reduced = 0;  // how many axes
  std::array<int64_t, kMaxRank> kept_shape{}, kept_stride{}, reduced_shape{}, reduced_stride{};
};
Launch reduce_launch(const ReduceDesc& desc, const void* x, void* y);

}  // namespace kvant::backends::cuda
