// SPDX-License-Identifier: Apache-2.0
// Codes through a factor and a term of each channel to codes: a thread has four neighbouring elements.
#include "backends/cuda/kernels/affine/affine_params.h"
#include "backends/cuda/kernels/epilogue.cuh"

namespace kvant::backends::cuda {
namespace device {

KVANT_DEVICE void affine_channels(const AffineParams& p) {
  const AffineDesc& d = p.desc;
  const int64_t first = (static_cast<int64_t>(block_x()) * block_threads() + thread_index()) * 4;
  const int64_t left = d.count - first;
  const int count = left >= 4 ? 4 : left > 0 ? static_cast<int>(left) : 0;
  wait_for_previous();
  let_next_start();
  if (count == 0) return;
  uint32_t codes = 0, word = 0;
  if (p.vector && count == 4) {
    codes = load<uint32_t>(p.x + first);
  } else {
    for (int i = 0; i < count; ++i) codes |= static_cast<uint32_t>(p.x[first + i]) << (8 * i);
  }
  int64_t channel = first % d.channels;
  KVANT_UNROLL
  for (int i = 0; i < 4; ++i) {
    if (i < count) {
      const int bits = static_cast<int>(codes >> (8 * i) & 255);
      const int code = (d.x_signed ? static_cast<int8_t>(bits) : bits) - d.x_zero_point;
      float v = multiply_rn(to_float(code), d.x_scale);
      v = multiply_rn(v, load_constant<float>(p.multiplier + channel));
      v = add_rn(v, load_constant<float>(p.bias + channel));
      if (d.relu) v = v > 0 ? v : v != v ? v : 0.0f;
      word |= static_cast<uint32_t>(code_of(d.out, divide_rn(v, d.y_scale)) & 255) << (8 * i);
      channel = channel + 1 == d.channels ? 0 : channel + 1;
    }
  }
  store_codes(p.y + first, word, p.vector, count);
}

}  // namespace device

KVANT_KERNEL(affine_channels, 256, 1, AffineParams, device::affine_channels)

}  // namespace kvant::backends::cuda
