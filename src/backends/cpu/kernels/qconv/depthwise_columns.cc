// SPDX-License-Identifier: Apache-2.0
// The driver of depthwise convolutions by columns: no copy of the input, border columns are made in registers
// and border rows are one row of the fill code.
#include <algorithm>
#include <cstring>

#include "backends/cpu/kernels/qconv/packed.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kRowsTogether = 4;
constexpr int64_t kSlack = 64;  // whole vectors are read where a mask says that less is wanted

ChannelBlocks columns_layout(const ColumnsTiles& tiles, const ConvShape& s) {
  const int64_t row_groups = (s.kh + kRowsTogether - 1) / kRowsTogether;
  return {s.c, tiles.lanes, row_groups * s.kw * tiles.lanes * kRowsTogether};
}

bool has_border_rows(const ConvShape& s) {
  return s.top > 0 || (s.ho - 1) * s.stride_h - s.top + (s.kh - 1) * s.dilation_h >= s.h;
}

}  // namespace

std::string columns_why_not(const QConvDesc& desc) {
  const ConvShape& s = desc.shape;
  if (!s.depthwise()) return fmt::format("not depthwise ({} groups of {} channels)", s.group, s.c);
  const bool window = s.kw == 3 || s.kw == 5 || s.kw == 7;
  if (!window || s.kh > ColumnsArgs::kMaxRows || s.dilation_w != 1 || s.stride_w > 2) {
    return "not a window of 3, 5 or 7 columns, at most 8 rows and steps of 1 or 2";
  }
  return {};
}

size_t columns_packed_bytes(const ColumnsTiles& tiles, const QConvDesc& desc) {
  return columns_layout(tiles, desc.shape).end();
}

void columns_pack(const ColumnsTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                  std::byte* packed) {
  const ConvShape& s = desc.shape;
  const ChannelBlocks layout = columns_layout(tiles, s);
  std::memset(packed, 0, layout.end());
  for (int64_t i = 0; i < layout.lanes; ++i) {
    const int64_t block = i / tiles.lanes, lane = i % tiles.lanes;
    const int64_t channel = block * tiles.lanes + tiles.channel_of(tiles.lanes, static_cast<int>(lane));
    if (channel >= s.c) continue;
    const int8_t* filter = weights.w + channel * s.kh * s.kw;
    int8_t* out = reinterpret_cast<int8_t*>(packed + block * layout.block_bytes);
    int32_t sum = 0;
    for (int64_t tap = 0; tap < s.kh * s.kw; ++tap) {
      const int64_t row = tap / s.kw, place = row / kRowsTogether * s.kw + tap % s.kw;
      out[(place * tiles.lanes + lane) * kRowsTogether + row % kRowsTogether] = filter[tap];
      sum += filter[tap];
    }
    layout.write_lane(packed, i, -unsigned_zero_point(desc) * sum, weights.multiplier[channel],
                      weights.bias[channel]);
  }
}

size_t columns_scratch_bytes(const QConvDesc& desc) {
  const ConvShape& s = desc.shape;
  return has_border_rows(s) ? static_cast<size_t>((s.w * s.c + kSlack + 63) / 64 * 64) : 0;
}

void columns_run(const ColumnsTiles& tiles, const QConvDesc& desc, const QConvPointers& p, int thread,
                 int threads) {
  const ConvShape& s = desc.shape;
  const ChannelBlocks layout = columns_layout(tiles, s);
  const uint8_t* border =
      reinterpret_cast<uint8_t*>(p.scratch) + static_cast<size_t>(thread) * columns_scratch_bytes(desc);
  // The border row is flipped like any other when it is read.
  std::memset(const_cast<uint8_t*>(border), desc.x_zero_point & 255, columns_scratch_bytes(desc));
  ColumnsArgs args;
  args.row_count = s.kh, args.columns = s.kw, args.stride = s.stride_w;
  args.first_column = -s.left, args.width = s.w, args.column_bytes = s.c, args.pixels = s.wo;
  args.fill = static_cast<uint8_t>(unsigned_zero_point(desc));
  args.flip = desc.x_signed;
  args.out.residual_stride = s.k * code_bytes(desc.epilogue.residual);
  args.out.y_stride = s.k * code_bytes(desc.epilogue.output);
  args.out.epilogue = &desc.epilogue;
  const int64_t last = s.n * s.ho * (thread + 1) / threads;
  for (int64_t row = s.n * s.ho * thread / threads; row < last; ++row) {
    const uint8_t* image = p.x + row / s.ho * s.h * s.w * s.c;
    const int64_t top = row % s.ho * s.stride_h - s.top;
    for (int64_t block = 0; block < layout.blocks; ++block) {
      const int64_t channel = block * tiles.lanes;
      for (int64_t i = 0; i < s.kh; ++i) {
        const int64_t y = top + i * s.dilation_h;
        args.rows[i] = (y < 0 || y >= s.h ? border : image + y * s.w * s.c) + channel;
      }
      layout.point_at_block(args.out, desc, p, block, row * s.wo);
      tiles.row(args);
      if (desc.table) tiles.look_up(*desc.table, args.out.y, args.out.y_stride, s.wo, args.out.channels);
    }
  }
}

}  // namespace kvant::backends::cpu
