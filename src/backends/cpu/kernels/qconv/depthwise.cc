// SPDX-License-Identifier: Apache-2.0
// The driver of depthwise convolutions (one filter per channel), vectorised over channels.
#include <algorithm>
#include <array>
#include <cstring>

#include "backends/cpu/kernels/qconv/packed.h"
#include "backends/cpu/kernels/qconv/slab.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kMaxTaps = 256;

int64_t tap_groups(const DepthwiseTiles& tiles, const ConvShape& s) {
  return (s.kh * s.kw + tiles.taps_together - 1) / tiles.taps_together;
}

ChannelBlocks layout_of(const DepthwiseTiles& tiles, const ConvShape& s) {
  return {s.c, tiles.lanes, tap_groups(tiles, s) * tiles.taps_together * tiles.lanes * tiles.element};
}

// A slab of its own has slack for vectors that reach beyond its end; the input has not.
Slab slab_of(const DepthwiseTiles& tiles, const QConvDesc& desc) {
  const bool in_place = Slab::readable_in_place(desc, tiles.element, 4) &&
                        !(tiles.whole_blocks && desc.shape.c % tiles.lanes != 0);
  return {desc, tiles.element, !in_place};
}

}  // namespace

std::string depthwise_why_not(const QConvDesc& desc) {
  const ConvShape& s = desc.shape;
  if (!s.depthwise()) return fmt::format("not depthwise ({} groups of {} channels)", s.group, s.c);
  if (s.kh * s.kw > kMaxTaps) return fmt::format("{}x{} taps, above {}", s.kh, s.kw, kMaxTaps);
  return {};
}

size_t depthwise_packed_bytes(const DepthwiseTiles& tiles, const QConvDesc& desc) {
  return layout_of(tiles, desc.shape).end();
}

void depthwise_pack(const DepthwiseTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                    std::byte* packed) {
  const ConvShape& s = desc.shape;
  const ChannelBlocks layout = layout_of(tiles, s);
  std::memset(packed, 0, layout.end());
  const int32_t zero_point = tiles.element == 2 ? 0 : unsigned_zero_point(desc);
  for (int64_t i = 0; i < layout.lanes; ++i) {
    const int64_t block = i / tiles.lanes;
    const int lane = static_cast<int>(i % tiles.lanes);
    const int64_t channel = block * tiles.lanes + tiles.channel_of(tiles.lanes, lane);
    if (channel >= s.c) continue;
    const int8_t* filter = weights.w + channel * s.kh * s.kw;
    std::byte* out = packed + block * layout.block_bytes;
    int32_t sum = 0;
    for (int64_t tap = 0; tap < s.kh * s.kw; ++tap) {
      const int64_t at =
          (tap / tiles.taps_together * tiles.lanes + lane) * tiles.taps_together + tap % tiles.taps_together;
      if (tiles.element == 1) {
        reinterpret_cast<int8_t*>(out)[at] = filter[tap];
      } else {
        reinterpret_cast<int16_t*>(out)[at] = filter[tap];
      }
      sum += filter[tap];
    }
    layout.write_lane(packed, i, -zero_point * sum, weights.multiplier[channel], weights.bias[channel]);
  }
}

std::span<const std::byte> depthwise_first_reads(const DepthwiseTiles& tiles, const QConvDesc& desc,
                                                 const std::byte* packed) {
  return {packed, layout_of(tiles, desc.shape).end()};
}

size_t depthwise_scratch_bytes(const DepthwiseTiles& tiles, const QConvDesc& desc) {
  return slab_of(tiles, desc).scratch_bytes();
}

void depthwise_run(const DepthwiseTiles& tiles, const QConvDesc& desc, const QConvPointers& p, int thread,
                   int threads) {
  const ConvShape& s = desc.shape;
  const ChannelBlocks layout = layout_of(tiles, s);
  const Slab slab = slab_of(tiles, desc);
  std::byte* scratch = p.scratch + static_cast<size_t>(thread) * slab.scratch_bytes();

  // Taps that only fill up a group read the first tap and have zero weights.
  std::array<int64_t, kMaxTaps + 8> taps{};
  for (int64_t i = 0; i < s.kh * s.kw; ++i) {
    taps[static_cast<size_t>(i)] =
        i / s.kw * s.dilation_h * slab.row_bytes() + i % s.kw * s.dilation_w * slab.pixel_bytes();
  }
  DepthwiseArgs args;
  args.pixel_stride = s.stride_w * slab.pixel_bytes();
  args.pixels = s.wo;
  args.taps = taps.data();
  args.tap_groups = tap_groups(tiles, s);
  args.out.residual_stride = s.k * code_bytes(desc.epilogue.residual);
  args.out.y_stride = s.k * code_bytes(desc.epilogue.output);
  args.out.epilogue = &desc.epilogue;

  const int64_t last = s.n * s.ho * (thread + 1) / threads;
  for (int64_t row = s.n * s.ho * thread / threads; row < last;) {
    const int64_t count = std::min({slab.rows_per_chunk(), last - row, s.ho - row % s.ho});
    const std::byte* x = slab.prepare(p.x, row / s.ho, row % s.ho, count, scratch);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t pixel = (row + i) * s.wo;
      for (int64_t block = 0; block < layout.blocks; ++block) {
        args.x = x + i * s.stride_h * slab.row_bytes() + block * tiles.lanes * tiles.element;
        layout.point_at_block(args.out, desc, p, block, pixel);
        tiles.row(args);
        if (desc.table) tiles.look_up(*desc.table, args.out.y, args.out.y_stride, s.wo, args.out.channels);
      }
    }
    row += count;
  }
}

}  // namespace kvant::backends::cpu
