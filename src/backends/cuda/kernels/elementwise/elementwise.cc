// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/elementwise/elementwise.h"

#include "backends/cuda/kernels/elementwise/elementwise_params.h"
#include "backends/cuda/kernels/grid.h"

namespace kvant::backends::cuda {
namespace {

constexpr unsigned kThreads = 256;

template <class Params>
Launch launch_by_fours(std::string_view kernel, const Params& params) {
  return launch_over(kernel, blocks_for(params.count, 4), kThreads, params);
}

Launch pair_launch(std::string_view kernel, const CodePairDesc& desc, int64_t count, const void* a,
                   const void* b, void* y, int64_t channels = 1, int64_t image = 1) {
  return launch_by_fours(
      kernel, CodePairParams{desc, count, static_cast<const uint8_t*>(a), static_cast<const uint8_t*>(b),
                             static_cast<uint8_t*>(y), channels, image, lies_at_multiples_of(4, {a, b, y})});
}

ScaleParams scale_params(float scale, int64_t count, const void* x, void* y) {
  ScaleParams p{};
  p.scale = scale, p.count = count;
  p.x = static_cast<const uint8_t*>(x), p.y = static_cast<uint8_t*>(y);
  p.vector = lies_at_multiples_of(4, {x, y});
  return p;
}

RealParams real_params(int64_t count, const void* x, void* y) {
  RealParams p{};
  p.count = count, p.x = static_cast<const float*>(x), p.y = static_cast<float*>(y);
  return p;
}

}  // namespace

Launch add_codes_launch(const CodePairDesc& desc, int64_t count, const void* a, const void* b, void* y) {
  return pair_launch("add_codes", desc, count, a, b, y);
}
Launch multiply_codes_launch(const CodePairDesc& desc, int64_t count, const void* a, const void* b, void* y) {
  return pair_launch("multiply_codes", desc, count, a, b, y);
}
Launch multiply_channels_launch(const CodePairDesc& desc, int64_t n, int64_t pixels, int64_t c, const void* a,
                                const void* b, void* y) {
  return pair_launch("multiply_channels", desc, n * pixels * c, a, b, y, c, pixels * c);
}

Launch add_real_launch(const AddRealDesc& desc, int64_t count, const void* a, const void* b, void* y) {
  return launch_by_fours(
      "add_reals_to_codes",
      AddRealParams{desc, count, static_cast<const uint8_t*>(a), static_cast<const float*>(b),
                    static_cast<uint8_t*>(y), lies_at_multiples_of(4, {a, y})});
}

Launch quantize_launch(float scale, const CodeRange& out, int64_t count, const void* x, void* y) {
  ScaleParams p = scale_params(scale, count, x, y);
  p.out = out;
  return launch_by_fours("quantize_reals", p);
}
Launch dequantize_launch(float scale, int32_t zero_point, bool is_signed, int64_t count, const void* x,
                         void* y) {
  ScaleParams p = scale_params(scale, count, x, y);
  p.zero_point = zero_point, p.is_signed = is_signed;
  return launch_by_fours("dequantize_codes", p);
}

Launch look_up_launch(int64_t element_bytes, int64_t count, const void* table, const void* x, void* y) {
  KVANT_CHECK(element_bytes == 1 || element_bytes == 4, "tables have elements of 1 or 4 bytes");
  return launch_by_fours(
      "look_up_codes",
      LookUpParams{element_bytes, count, static_cast<const uint8_t*>(table), static_cast<const uint8_t*>(x),
                   static_cast<uint8_t*>(y), lies_at_multiples_of(4, {x, y})});
}

Launch activation_launch(Activation activation, float alpha, float beta, int64_t count, const void* x,
                         void* y) {
  RealParams p = real_params(count, x, y);
  p.activation = activation, p.alpha = alpha, p.beta = beta;
  return launch_by_fours("activate_reals", p);
}
Launch unary_launch(Unary op, int64_t count, const void* x, void* y) {
  RealParams p = real_params(count, x, y);
  p.unary = op;
  return launch_by_fours("map_reals", p);
}

Launch binary_launch(const BinaryDesc& desc, const void* a, const void* b, void* y) {
  KVANT_CHECK(desc.rank >= 0 && desc.rank <= BinaryDesc::kMaxRank, "rank of a binary operation");
  BinaryParams p{desc, 1, static_cast<const float*>(a), static_cast<const float*>(b), static_cast<float*>(y)};
  for (int axis = 0; axis < desc.rank; ++axis) p.count *= desc.shape[static_cast<size_t>(axis)];
  return launch_by_fours("combine_reals", p);
}

}  // namespace kvant::backends::cuda
