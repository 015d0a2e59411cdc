// SPDX-License-Identifier: Apache-2.0
// Resize of floats by weighted sums: a thread has a result.
#include "backends/cuda/kernels/device.cuh"
#include "backends/cuda/kernels/resize/resize_params.h"

namespace kvant::backends::cuda {
namespace device {

KVANT_DEVICE void resize(const ResizeParams& p) {
  const ResizeDesc& d = p.desc;
  int64_t rest = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  const int64_t item = rest;
  wait_for_previous();
  let_next_start();
  if (item >= p.count) return;
  const int64_t inner = rest % d.inner;
  rest /= d.inner;
  const int64_t second = rest % d.second_output;
  rest /= d.second_output;
  const int64_t between = rest % d.between;
  rest /= d.between;
  const int64_t first = rest % d.first_output, outer = rest / d.first_output;
  const int32_t* rows = p.first_index + first * d.first_taps;
  const int32_t* columns = p.second_index + second * d.second_taps;
  const auto outside = static_cast<double>(d.extrapolation);
  double sum = 0;
  for (int i = 0; i < d.first_taps && rows[i] >= 0; ++i) {
    const int64_t line = ((outer * d.first_input + rows[i]) * d.between + between) * d.second_input;
    double along = 0;
    for (int j = 0; j < d.second_taps && columns[j] >= 0; ++j) {
      const auto x = static_cast<double>(p.x[(line + columns[j]) * d.inner + inner]);
      along += x * p.second_weight[second * d.second_taps + j];
    }
    if (columns[0] == kOutside) along = outside;
    sum += along * p.first_weight[first * d.first_taps + i];
  }
  if (rows[0] == kOutside) sum = outside;
  p.y[item] = static_cast<float>(sum);
}

}  // namespace device

KVANT_KERNEL(resize_reals, 256, 1, ResizeParams, device::resize)

}  // namespace kvant::backends::cuda
