// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/conv/conv_warpgroup.h"

#include <cstddef>

#include "backends/cuda/kernels/conv/warpgroup_gemm.cuh"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

// Limits of tensor maps: corners are signed bytes, offsets of taps unsigned bytes, steps up to 8.
constexpr int64_t kLowestCorner = -128, kHighestCorner = 127, kHighestOffset = 255, kLargestStep = 8;
constexpr int64_t kLongestStride = int64_t{1} << 40;

// Where the last first tap of a row or column lies, from the image's last pixel.
int64_t upper_corner(int64_t results, int64_t stride, int64_t before, int64_t size) {
  return (results - 1) * stride - before - (size - 1);
}

bool leaves(int64_t results, int64_t stride, int64_t before, int64_t taps, int64_t dilation, int64_t size) {
  return before > 0 || upper_corner(results, stride, before, size) + (taps - 1) * dilation > 0;
}

bool leaves_the_image(const ConvShape& s) {
  return leaves(s.ho, s.stride_h, s.top, s.kh, s.dilation_h, s.h) ||
         leaves(s.wo, s.stride_w, s.left, s.kw, s.dilation_w, s.w);
}

// Pixels of the result are pixels of the image, in order.
bool is_product(const ConvShape& s) {
  return s.pointwise() && s.stride_h == 1 && s.stride_w == 1 && s.ho == s.h && s.wo == s.w &&
         !leaves_the_image(s);
}

int64_t x_pitch(const ConvDesc& desc) { return desc.x_pitch == 0 ? desc.shape.c : desc.x_pitch; }

Swizzle swizzle_of(const ConvTactic& tactic) {
  return tactic.inner == 128 ? Swizzle::Bytes128 : Swizzle::Bytes64;
}

TensorMapForm map_of_weights(const ConvTactic& tactic, const ConvParams& conv) {
  TensorMapForm form;
  form.address = conv.w;
  form.swizzle = swizzle_of(tactic);
  form.dims[0] = static_cast<uint32_t>(conv.row_k), form.dims[1] = static_cast<uint32_t>(conv.group_k);
  form.strides[0] = static_cast<uint64_t>(conv.row_k);
  form.box[0] = static_cast<uint16_t>(tactic.inner), form.box[1] = static_cast<uint16_t>(tactic.columns);
  return form;
}

TensorMapForm map_of_image(const ConvDesc& desc, const ConvTactic& tactic, const ConvParams& conv) {
  const ConvShape& s = desc.shape;
  const auto pitch = static_cast<uint64_t>(conv.x_pitch);
  TensorMapForm form;
  form.address = conv.x;
  form.swizzle = swizzle_of(tactic);
  form.dims[0] = static_cast<uint32_t>(s.c);
  form.strides[0] = pitch;
  if (is_product(s)) {
    form.dims[1] = static_cast<uint32_t>(s.n * s.h * s.w);
    form.box[0] = static_cast<uint16_t>(tactic.inner), form.box[1] = static_cast<uint16_t>(tactic.rows);
    return form;
  }
  form.rank = 4;
  form.im2col = true;
  form.dims[1] = static_cast<uint32_t>(s.w), form.dims[2] = static_cast<uint32_t>(s.h);
  form.dims[3] = static_cast<uint32_t>(s.n);
  form.strides[1] = pitch * static_cast<uint64_t>(s.w);
  form.strides[2] = form.strides[1] * static_cast<uint64_t>(s.h);
  form.steps[1] = static_cast<uint8_t>(s.stride_w), form.steps[2] = static_cast<uint8_t>(s.stride_h);
  form.lower[0] = static_cast<int8_t>(-s.left), form.lower[1] = static_cast<int8_t>(-s.top);
  form.upper[0] = static_cast<int8_t>(upper_corner(s.wo, s.stride_w, s.left, s.w));
  form.upper[1] = static_cast<int8_t>(upper_corner(s.ho, s.stride_h, s.top, s.h));
  form.channels = static_cast<uint16_t>(tactic.inner), form.pixels = static_cast<uint16_t>(tactic.rows);
  return form;
}

template <class T>
ConvTactic warpgroup_tactic(std::string name, int blocks) {
  ConvTactic t;
  t.kernel = "conv_" + name;
  t.name = std::move(name);
  t.kind = ConvTactic::Kind::Warpgroup;
  t.minimum_sm = t.maximum_sm = 90;
  t.threads = T::kThreads, t.shared_bytes = T::kSharedBytes;
  t.rows = T::kRows, t.columns = T::kColumns, t.inner = T::kInner, t.stages = T::kStages;
  t.blocks_of_sm = blocks;
  t.copy_bytes = 16;
  return t;
}

}  // namespace

std::vector<ConvTactic> warpgroup_tactics() {
  std::vector<ConvTactic> all;
#define KVANT_WARPGROUP_TILE(name, blocks, warpgroups, columns, inner, stages) \
  all.push_back(warpgroup_tactic<device::WarpgroupTile<warpgroups, columns, inner, stages>>(#name, blocks));
#include "backends/cuda/kernels/conv/warpgroup_tiles.inc"
  return all;
}

std::string why_not_warpgroup(const ConvDesc& desc) {
  const ConvShape& s = desc.shape;
  const int64_t pitch = x_pitch(desc);
  if (s.group != 1) return "tensor copies are for one group";
  if (s.c % 16 != 0 || pitch % 16 != 0)
    return fmt::format("{} channels (pitch {}) are not multiples of 16", s.c, pitch);
  if (pitch > kLongestStride / s.w / s.h) return "images are too large for a tensor map";
  if (leaves_the_image(s) && desc.x_zero_point != 0)
    return fmt::format("tensor copies pad with zeros and the zero point is {}", desc.x_zero_point);
  if (is_product(s)) return "";
  const auto corner = [](int64_t at) { return at >= kLowestCorner && at <= kHighestCorner; };
  if (!corner(-s.top) || !corner(-s.left) || !corner(upper_corner(s.wo, s.stride_w, s.left, s.w)) ||
      !corner(upper_corner(s.ho, s.stride_h, s.top, s.h)))
    return "the window reaches too far beyond the image for a tensor map";
  if ((s.kw - 1) * s.dilation_w > kHighestOffset || (s.kh - 1) * s.dilation_h > kHighestOffset)
    return "the window is too large for a tensor map";
  if (s.stride_h > kLargestStep || s.stride_w > kLargestStep)
    return "strides are beyond those of tensor maps";
  return "";
}

void set_warpgroup_params(const ConvDesc& desc, const ConvTactic& tactic, const ConvParams& conv,
                          Launch& launch) {
  if (reinterpret_cast<uintptr_t>(conv.x) % 16 != 0)
    fail("cuda: tactic '{}' needs an image that starts at a multiple of 16 bytes", tactic.name);
  WarpgroupConvParams params{};
  params.x = TensorMap(map_of_image(desc, tactic, conv));
  params.w = TensorMap(map_of_weights(tactic, conv));
  params.conv = conv;
  params.pixels_in_rows = is_product(desc.shape);
  params.x_signed = desc.x_signed;
  launch.set_params(params);
  launch.tensor_maps = 2;
  launch.tensor_map_at = {offsetof(WarpgroupConvParams, x), offsetof(WarpgroupConvParams, w)};
}

}  // namespace kvant::backends::cuda
