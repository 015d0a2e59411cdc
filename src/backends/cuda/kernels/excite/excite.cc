// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/excite/excite.h"

#include <algorithm>

#include "backends/cuda/kernels/conv/conv_params.h"
#include "backends/cuda/kernels/excite/excite_params.h"
#include "backends/cuda/kernels/grid.h"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

constexpr std::string_view kPacking = "direct", kCluster = "cluster8", kTwo = "two";
constexpr int64_t kClusterBlocks = 8, kThreads = 256, kSliceOfTwo = 128, kMostChannels = 8192;
constexpr int64_t kSumBytes = 8 * 4 * 32 * 4;  // of pooling
// Where a second launch (1.3 us) is cheaper than eight blocks reading the image twice and writing it.
constexpr int64_t kLargeImage = 224 * 1024;

int64_t rounded(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Rows of whole words.
ConvDesc padded_product(const ConvDesc& product) {
  ConvDesc desc = product;
  desc.shape.c = rounded(product.shape.c, 4);
  return desc;
}

bool is_row_product(const ConvDesc& d) {
  const ConvShape& s = d.shape;
  return s.h == 1 && s.w == 1 && s.kh == 1 && s.kw == 1 && s.group == 1 && s.ho == 1 && s.wo == 1 &&
         d.epilogue.codes() && d.epilogue.residual == Code::None;
}

ExciteProduct product_params(const ConvDesc& product, const void* packed) {
  const ConvDesc desc = padded_product(product);
  const auto p = conv_launch(desc, kPacking, {.packed = packed}).params_as<ConvParams>();
  return {p.w, p.epilogue, p.row_k, p.group_k, p.flip};
}

ExciteParams excite_params(const ExciteDesc& desc, int64_t slice, const ExcitePointers& pointers) {
  const PoolShape& s = desc.pool.shape;
  ExciteParams p{};
  p.pixels = static_cast<int32_t>(s.h * s.w), p.channels = static_cast<int32_t>(s.c);
  p.slice = static_cast<int32_t>(slice);
  p.x_signed = desc.pool.x == Code::I8;
  p.pool_multiplier = desc.pool.multiplier;
  p.pool_zero_point = desc.pool.x_zero_point;
  p.pool_out = desc.pool.out;
  p.reduce = product_params(desc.reduce, pointers.reduce);
  p.expand = product_params(desc.expand, pointers.expand);
  p.scale = desc.scale;
  p.x = static_cast<const uint8_t*>(pointers.x), p.y = static_cast<uint8_t*>(pointers.y);
  p.pooled = static_cast<const uint8_t*>(pointers.pooled);
  return p;
}

Launch excite_launch(std::string_view kernel, Dim3 grid, int64_t shared_bytes, const ExciteParams& params) {
  Launch launch;
  launch.kernel = &kernel_named(kernel);
  launch.grid = grid;
  launch.block.x = kThreads;
  launch.shared_bytes = static_cast<size_t>(shared_bytes);
  launch.set_params(params);
  return launch;
}

}  // namespace

std::string why_not_excite(const ExciteDesc& desc) {
  const PoolShape& s = desc.pool.shape;
  if (s.c % 4 != 0 || s.c > kMostChannels) return "channels are no multiple of 4, or too many";
  if (s.n > 65535 || s.h * s.w > (1 << 23)) return "images are too many or too large";
  if (!is_row_product(desc.reduce) || !is_row_product(desc.expand))
    return "the products are not of one pixel and to codes";
  const int64_t hidden = desc.reduce.shape.k;
  if (desc.reduce.shape.c != s.c || desc.expand.shape.c != hidden || desc.expand.shape.k != s.c ||
      hidden > kMostChannels)
    return "the products do not fit the channels";
  return "";
}

std::vector<std::string> excite_tactics(const ExciteDesc& desc, int sm, std::string& why) {
  why = why_not_excite(desc);
  if (!why.empty() || conv_tactics(desc.reduce, sm, why).empty() ||
      conv_tactics(desc.expand, sm, why).empty())
    return {};
  const PoolShape& s = desc.pool.shape;
  if (sm < 90) return {std::string(kTwo)};
  const bool large = s.h * s.w * s.c > kLargeImage;
  return {std::string(large ? kTwo : kCluster), std::string(large ? kCluster : kTwo)};
}

size_t excite_packed_bytes(const ConvDesc& product) {
  return conv_packed_bytes(padded_product(product), kPacking);
}

void pack_excite(const ConvDesc& product, const ConvWeights& weights, std::byte* packed) {
  const ConvDesc desc = padded_product(product);
  std::vector<int8_t> rows(static_cast<size_t>(desc.shape.k * desc.shape.c), 0);
  for (int64_t k = 0; k < desc.shape.k; ++k) {
    std::copy_n(weights.w + k * product.shape.c, product.shape.c,
                rows.begin() + static_cast<std::ptrdiff_t>(k * desc.shape.c));
  }
  ConvWeights padded = weights;
  padded.w = rows.data();
  pack_conv(desc, kPacking, padded, packed);
}

std::vector<Launch> excite_launches(const ExciteDesc& desc, std::string_view tactic,
                                    const ExcitePointers& pointers) {
  const PoolShape& s = desc.pool.shape;
  const int64_t vectors = rounded(s.c, 16) + rounded(desc.reduce.shape.k, 16);
  if (tactic == kCluster) {
    const int64_t slice = rounded(blocks_for(s.c, kClusterBlocks), 16);
    Launch launch = excite_launch("excite_cluster", {static_cast<unsigned>(s.n), 1, kClusterBlocks},
                                  vectors + 2 * slice + kSumBytes, excite_params(desc, slice, pointers));
    launch.cluster = kClusterBlocks;
    return {launch};
  }
  if (tactic != kTwo) fail("cuda: there is no tactic '{}' of squeeze-excite: cluster8 and two", tactic);
  // As many blocks as keep a large card busy; each repeats the first product.
  const int64_t slices = blocks_for(s.c, kSliceOfTwo);
  const int64_t parts = std::clamp<int64_t>(132 / (slices * s.n), 1, blocks_for(s.h * s.w, 16));
  return {
      pool_launch(desc.pool, pointers.x, pointers.pooled),
      excite_launch("excite_channels",
                    {static_cast<unsigned>(parts), static_cast<unsigned>(slices), static_cast<unsigned>(s.n)},
                    vectors + kSliceOfTwo, excite_params(desc, kSliceOfTwo, pointers))};
}

}  // namespace kvant::backends::cuda
