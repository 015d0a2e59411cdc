// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/real/real.h"

#include "backends/cuda/kernels/grid.h"
#include "backends/cuda/kernels/real/real_params.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kSharedBytes = 2 * 16 * 65 * 4;

Launch tile_launch(std::string_view kernel, int64_t rows, int64_t column_tiles, int64_t batch,
                   const auto& params) {
  if (column_tiles > 65535 || batch > 65535)
    fail("cuda: kernel {}: {} tiles of columns and {} matrices are more than a grid takes", kernel,
         column_tiles, batch);
  Launch launch = launch_over(kernel, blocks_for(rows, 64) * 256, 256, params);
  launch.grid.y = static_cast<unsigned>(column_tiles);
  launch.grid.z = static_cast<unsigned>(batch);
  launch.shared_bytes = kSharedBytes;
  return launch;
}

}  // namespace

Launch real_conv_launch(const RealConvDesc& desc, const void* x, const void* w, const void* bias,
                        const void* residual, void* y) {
  const ConvShape& s = desc.shape;
  const auto narrow = [](int64_t value) {
    KVANT_CHECK(value >= 0 && value < INT32_MAX / 4, "a convolution's size");
    return static_cast<int32_t>(value);
  };
  RealConvParams p{};
  p.n = narrow(s.n), p.h = narrow(s.h), p.w_in = narrow(s.w), p.ho = narrow(s.ho), p.wo = narrow(s.wo);
  p.kh = narrow(s.kh), p.kw = narrow(s.kw), p.stride_h = narrow(s.stride_h), p.stride_w = narrow(s.stride_w);
  p.top = narrow(s.top), p.left = narrow(s.left);
  p.dilation_h = narrow(s.dilation_h), p.dilation_w = narrow(s.dilation_w);
  p.group = narrow(s.group), p.group_c = narrow(s.group_c()), p.group_k = narrow(s.group_k());
  p.activation = desc.activation, p.alpha = desc.alpha, p.beta = desc.beta;
  p.x = static_cast<const float*>(x), p.w = static_cast<const float*>(w);
  p.bias = static_cast<const float*>(bias), p.residual = static_cast<const float*>(residual);
  p.y = static_cast<float*>(y);
  return tile_launch("real_conv", s.n * s.ho * s.wo, blocks_for(s.group_k(), 64) * s.group, 1, p);
}

Launch real_product_launch(const RealProductDesc& desc, const void* a, const void* b, void* y) {
  return tile_launch("real_product", desc.m, blocks_for(desc.n, 64),
                     desc.batch[0] * desc.batch[1] * desc.batch[2],
                     RealProductParams{desc, static_cast<const float*>(a), static_cast<const float*>(b),
                                       static_cast<float*>(y)});
}

}  // namespace kvant::backends::cuda
