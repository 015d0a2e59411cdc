// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/pool/pool.h"

#include <string>

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/pool/pool_params.h"

namespace kvant::backends::cuda {
namespace {

constexpr int64_t kManyTaps = 16;  // of a window that the warps of a block share

}  // namespace

Launch pool_launch(const PoolDesc& desc, const void* x, void* y) {
  const PoolShape& s = desc.shape;
  const auto narrow = [](int64_t value) {
    KVANT_CHECK(value >= 0 && value < INT32_MAX / 4, "a pool's size");
    return static_cast<int32_t>(value);
  };
  PoolParams p{};
  p.n = narrow(s.n), p.h = narrow(s.h), p.w = narrow(s.w), p.c = narrow(s.c);
  p.kh = narrow(s.kh), p.kw = narrow(s.kw), p.stride_h = narrow(s.stride_h), p.stride_w = narrow(s.stride_w);
  p.top = narrow(s.top), p.left = narrow(s.left), p.bottom = narrow(s.bottom), p.right = narrow(s.right);
  p.dilation_h = narrow(s.dilation_h), p.dilation_w = narrow(s.dilation_w);
  p.ho = narrow(s.ho), p.wo = narrow(s.wo);
  p.is_signed = desc.x == Code::I8;
  p.count_include_pad = desc.count_include_pad;
  p.vector = s.c % 4 == 0 && lies_at_multiples_of(4, {x, y});
  p.multiplier = desc.multiplier;
  p.x_zero_point = desc.average && desc.x != Code::F32 ? desc.x_zero_point : 0;
  p.out = desc.out;
  p.x = static_cast<const uint8_t*>(x), p.y = static_cast<uint8_t*>(y);
  std::string kernel = desc.average ? "pool_average" : "pool_max";
  kernel += desc.x == Code::F32 ? "_reals" : "_codes";
  const int64_t results = s.n * s.ho * s.wo;
  if (s.kh * s.kw < kManyTaps) return launch_over(kernel, results * blocks_for(s.c, 4), 128, p);
  const int value_bytes = desc.average && desc.x == Code::F32 ? 8 : 4;
  Launch launch = launch_over(kernel + "_shared", results * blocks_for(s.c, 128) * 256, 256, p);
  launch.shared_bytes = static_cast<size_t>(8 * 4 * 32 * value_bytes);
  return launch;
}

}  // namespace kvant::backends::cuda
