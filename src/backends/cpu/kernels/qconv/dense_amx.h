// SPDX-License-Identifier: Apache-2.0
// Dense convolution on tiles of bytes, as AMX has them: up to 32 neighbours of a row by 32 output channels
// are four tiles of sums, pixels are the rows of two tiles read straight from the slab, and weights lie
// packed as the tiles that are multiplied. `Tiles` are the operations: AMX's (tiles_amx.cc), or the same in
// plain C++ for tests:
//   void configure(int first_rows, int second_rows, int dwords)   rows of tiles {0,1,4} and {2,3,5}, none or
//   more;
//                                                                 dwords of a row of tiles 4 and 5, rows of 6
//                                                                 and 7
//   void load<tile>(const void* at, int64_t stride), void store<tile>(void* at, int64_t stride)
//   void dot<sums, x, w>(bool x_signed)                           sums += x * w, bytes in dwords, w signed
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "backends/cpu/kernels/qconv/finish_avx512.h"
#include "backends/cpu/kernels/qconv/packed.h"
#include "backends/cpu/kernels/qconv/slab.h"

namespace kvant::backends::cpu {
namespace {

constexpr int64_t kTileRows = 16, kTilePixels = 2 * kTileRows, kTileLanes = 32, kTileDwords = 16;
constexpr int64_t kShortestRun = 32;  // bytes; below, tiles are mostly empty

// The codes as they lie in memory: tiles multiply i8 as well as u8, so nothing is flipped.
QConvDesc as_bytes(const QConvDesc& desc) {
  QConvDesc result = desc;
  result.x_signed = false;
  result.x_zero_point = desc.x_zero_point & 255;
  return result;
}

// A window as runs of contiguous bytes, each cut into equal steps of at most sixteen dwords.
struct TileSteps {
  int64_t rows, columns, length, steps, dwords;

  explicit TileSteps(const ConvShape& s) {
    const bool whole_rows = s.dilation_w == 1 || s.kw == 1;
    rows = s.kh;
    columns = whole_rows ? 1 : s.kw;
    length = whole_rows ? s.kw * s.c : s.c;
    const int64_t all = (length + 3) / 4;
    steps = (all + kTileDwords - 1) / kTileDwords;
    dwords = (all + steps - 1) / steps;
  }
  int64_t step_bytes() const { return dwords * 4; }
  int64_t tile_bytes() const { return dwords * 64; }  // of weights
  int64_t vector_bytes() const { return rows * columns * steps * tile_bytes(); }
  // Steps end where runs end, so that nothing beyond the input is read.
  bool even() const { return steps * step_bytes() == length; }
};

// Blocks of 32 channels; the last one has 16 lanes where that is enough.
struct TileLayout : PackedLayout {
  int64_t channels, blocks, block_bytes;

  TileLayout(const ConvShape& s, const TileSteps& steps)
      : channels(s.k), blocks((s.k + kTileLanes - 1) / kTileLanes), block_bytes(2 * steps.vector_bytes()) {
    lanes = (s.k + 15) / 16 * 16;
    weight_bytes = lanes / 16 * steps.vector_bytes();
  }
  int64_t channels_of(int64_t block) const { return std::min(kTileLanes, channels - block * kTileLanes); }
  int vectors_of(int64_t block) const { return channels_of(block) > 16 ? 2 : 1; }
};

// All pixels of a pointwise convolution in one row, when they can be read in place.
QConvDesc tile_flattened(const QConvDesc& desc, const TileSteps& steps) {
  QConvDesc flat = flattened(desc);
  const ConvShape& s = desc.shape;
  if (s.pointwise() && flat.shape.n == 1 && s.stride_h == 1 && s.stride_w == 1 && steps.even() &&
      Slab::readable_in_place(flat, 1, steps.length) && flat.shape.h * flat.shape.w == s.n * s.h * s.w) {
    flat.shape.h = flat.shape.ho = 1;
    flat.shape.w = flat.shape.wo = s.n * s.h * s.w;
  }
  return flat;
}

struct Span {
  int64_t first, last;
};

template <class Tiles>
class TiledConv {
 public:
  static std::string why_not(const QConvDesc& desc) {
    const ConvShape& s = desc.shape;
    if (s.group != 1) return fmt::format("{} groups, where tiles want one", s.group);
    if (TileSteps(s).length < kShortestRun)
      return fmt::format("runs of {} bytes, below {}", TileSteps(s).length, kShortestRun);
    return {};
  }

  static size_t packed_bytes(const QConvDesc& desc) {
    return (TileLayout(desc.shape, TileSteps(desc.shape)).end() + 63) / 64 * 64;
  }

  static void pack(const QConvDesc& desc, const QConvWeights& weights, std::byte* packed) {
    const ConvShape& s = desc.shape;
    const TileSteps steps(s);
    const TileLayout layout(s, steps);
    std::memset(packed, 0, packed_bytes(desc));
    const int64_t filter = s.kh * s.kw * s.c;
    for (int64_t lane = 0; lane < layout.lanes; ++lane) {
      const int64_t block = lane / kTileLanes;
      const int width = 16 * layout.vectors_of(block);
      const int64_t k = block * kTileLanes + channel_of_lane(width, static_cast<int>(lane % kTileLanes));
      if (k >= s.k) continue;
      const int8_t* taps = weights.w + k * filter;
      int32_t sum = 0;
      for (int64_t i = 0; i < filter; ++i) {
        packed[place(steps, layout, lane, i)] = static_cast<std::byte>(taps[i]);
        sum += taps[i];
      }
      layout.write_lane(packed, lane, -desc.x_zero_point * sum, weights.multiplier[k], weights.bias[k]);
    }
  }

  static size_t scratch_bytes(const QConvDesc& desc) {
    const TiledConv conv(desc);
    return conv.slab_.scratch_bytes() + sizeof(int32_t) * kTilePixels * kTileLanes;
  }

  static void run(const QConvDesc& desc, const QConvPointers& p, int thread, int threads) {
    TiledConv conv(desc);
    conv.share(p, thread, threads, scratch_bytes(desc));
  }

  static std::span<const std::byte> first_reads(const QConvDesc& desc, const std::byte* packed, int thread,
                                                int threads) {
    const TiledConv conv(desc);
    Span rows{}, blocks{}, pixels{};
    conv.cut(thread, threads, rows, blocks, pixels);
    if (blocks.first >= blocks.last) return {};
    return {packed + blocks.first * conv.layout_.block_bytes,
            static_cast<size_t>(conv.layout_.vectors_of(blocks.first) * conv.steps_.vector_bytes())};
  }

 private:
  explicit TiledConv(const QConvDesc& desc)
      : x_signed_(desc.x_signed),
        steps_(desc.shape),
        layout_(desc.shape, steps_),
        desc_(tile_flattened(as_bytes(desc), steps_)),
        slab_(desc_, 1, !(steps_.even() && Slab::readable_in_place(desc_, 1, steps_.length))) {}

  // Weight `i` of a filter: [vector of lanes][run][step], each a tile [dword][lane][4], vectors of a block
  // side by side within the step.
  static int64_t place(const TileSteps& steps, const TileLayout& layout, int64_t lane, int64_t i) {
    const int64_t block = lane / kTileLanes, vector = lane % kTileLanes / 16,
                  vectors = layout.vectors_of(block);
    const int64_t run = i / steps.length, in_run = i % steps.length;
    const int64_t step = run * steps.steps + in_run / steps.step_bytes(),
                  in_step = in_run % steps.step_bytes();
    return block * layout.block_bytes + (step * vectors + vector) * steps.tile_bytes() + in_step / 4 * 64 +
           lane % 16 * 4 + in_step % 4;
  }

  static Span part(int64_t count, int thread, int threads) {
    return {count * thread / threads, count * (thread + 1) / threads};
  }

  // Rows where there are enough of them, else blocks of channels, else pieces of the rows.
  void cut(int thread, int threads, Span& rows, Span& blocks, Span& pixels) const {
    const ConvShape& s = desc_.shape;
    rows = {0, s.n * s.ho}, blocks = {0, layout_.blocks}, pixels = {0, s.wo};
    const bool heavy = layout_.weight_bytes > 2 * s.n * s.h * s.w * s.c;
    if (layout_.blocks % threads == 0 && heavy) {
      blocks = part(layout_.blocks, thread, threads);
    } else if (rows.last >= threads) {
      rows = part(rows.last, thread, threads);
    } else if (s.wo >= kTilePixels * threads) {
      pixels = part(s.wo, thread, threads);
    } else if (layout_.blocks >= threads) {
      blocks = part(layout_.blocks, thread, threads);
    } else {
      pixels = part(s.wo, thread, threads);
    }
  }

  void share(const QConvPointers& p, int thread, int threads, size_t scratch_of_thread) {
    const ConvShape& s = desc_.shape;
    Span rows{}, blocks{}, pixels{};
    cut(thread, threads, rows, blocks, pixels);
    std::byte* scratch = p.scratch + static_cast<size_t>(thread) * scratch_of_thread;
    sums_ = reinterpret_cast<int32_t*>(scratch);
    scratch += sizeof(int32_t) * kTilePixels * kTileLanes;
    args_.residual_stride = s.k * code_bytes(desc_.epilogue.residual);
    args_.y_stride = s.k * code_bytes(desc_.epilogue.output);
    args_.epilogue = &desc_.epilogue;
    for (int64_t row = rows.first; row < rows.last;) {
      const int64_t count = std::min({slab_.rows_per_chunk(), rows.last - row, s.ho - row % s.ho});
      const std::byte* x = slab_.prepare(p.x, row / s.ho, row % s.ho, count, scratch);
      for (int64_t block = blocks.first; block < blocks.last; ++block) {
        for (int64_t i = 0; i < count; ++i)
          one_row(p, block, x + i * s.stride_h * slab_.row_bytes(), (row + i) * s.wo, pixels);
      }
      row += count;
    }
  }

  // Pieces of equal size but for the last, because another size is another configuration of the tiles.
  void one_row(const QConvPointers& p, int64_t block, const std::byte* x, int64_t pixel, const Span& pixels) {
    layout_.point_at(args_, p.packed, block * layout_.block_bytes, block * kTileLanes);
    args_.channels = layout_.channels_of(block);
    const int64_t count = pixels.last - pixels.first, pieces = (count + kTilePixels - 1) / kTilePixels;
    const int64_t size = pieces == 0 ? 0 : (count + pieces - 1) / pieces, channel = block * kTileLanes;
    for (int64_t at = pixels.first; at < pixels.last; at += size) {
      const int64_t here = std::min(size, pixels.last - at);
      args_.y = p.y + (pixel + at) * args_.y_stride + channel * code_bytes(desc_.epilogue.output);
      if (p.residual != nullptr) {
        args_.residual =
            p.residual + (pixel + at) * args_.residual_stride + channel * code_bytes(desc_.epilogue.residual);
      }
      const std::byte* from = x + at * desc_.shape.stride_w * slab_.pixel_bytes();
      if (layout_.vectors_of(block) == 2) {
        tile<2>(from, here);
      } else {
        tile<1>(from, here);
      }
      if (desc_.table) look_up_avx512(*desc_.table, args_.y, args_.y_stride, here, args_.channels);
    }
  }

  template <int V>
  void tile(const std::byte* x, int64_t pixels) {
    const int first = static_cast<int>(pixels > kTileRows ? (pixels + 1) / 2 : pixels);
    const int second = static_cast<int>(pixels) - first;
    tiles_.configure(first, second, static_cast<int>(steps_.dwords));
    if (second > 0) {
      sum_up<V, true>(x, first);
    } else {
      sum_up<V, false>(x, first);
    }
    const Epilogue& e = desc_.epilogue;
    const CodeConstants c = code_constants(e);
    const bool plain = e.codes() && e.activation == Activation::None && e.residual != Code::F32;
    for (int64_t p = 0; p < pixels; ++p) {
      __m512i sums[V];
      for (int v = 0; v < V; ++v) sums[v] = _mm512_loadu_si512(sums_ + p * kTileLanes + 16 * v);
      finish_sums<V>(args_, c, plain, sums, p, first_lanes(args_.channels));
    }
  }

  // Sums of `first` pixels and, with `second`, of those behind them.
  template <int V, bool second>
  void sum_up(const std::byte* x, int64_t first) {
    const int64_t stride = desc_.shape.stride_w * slab_.pixel_bytes();
    const int64_t row_step = desc_.shape.dilation_h * slab_.row_bytes(),
                  column_step = desc_.shape.dilation_w * slab_.pixel_bytes();
    tiles_.template load<0>(args_.start, 0);  // every row alike
    if constexpr (V == 2) tiles_.template load<1>(args_.start + 16, 0);
    if constexpr (second) tiles_.template load<2>(args_.start, 0);
    if constexpr (second && V == 2) tiles_.template load<3>(args_.start + 16, 0);
    const std::byte* w = args_.w;
    for (int64_t i = 0; i < steps_.rows; ++i) {
      for (int64_t j = 0; j < steps_.columns; ++j) {
        const std::byte* from = x + i * row_step + j * column_step;
        for (int64_t k = 0; k < steps_.steps;
             ++k, from += steps_.step_bytes(), w += V * steps_.tile_bytes()) {
          tiles_.template load<6>(w, 64);
          tiles_.template load<4>(from, stride);
          tiles_.template dot<0, 4, 6>(x_signed_);
          if constexpr (V == 2) {
            tiles_.template load<7>(w + steps_.tile_bytes(), 64);
            tiles_.template dot<1, 4, 7>(x_signed_);
          }
          if constexpr (second) {
            tiles_.template load<5>(from + first * stride, stride);
            tiles_.template dot<2, 5, 6>(x_signed_);
            if constexpr (V == 2) tiles_.template dot<3, 5, 7>(x_signed_);
          }
        }
      }
    }
    constexpr int64_t kStride = kTileLanes * 4;
    int32_t* behind = sums_ + first * kTileLanes;
    tiles_.template store<0>(sums_, kStride);
    if constexpr (V == 2) tiles_.template store<1>(sums_ + 16, kStride);
    if constexpr (second) tiles_.template store<2>(behind, kStride);
    if constexpr (second && V == 2) tiles_.template store<3>(behind + 16, kStride);
  }

  bool x_signed_;
  TileSteps steps_;
  TileLayout layout_;
  QConvDesc desc_;
  Slab slab_;
  TileArgs args_;
  int32_t* sums_ = nullptr;  // [pixel][lane]
  Tiles tiles_;
};

template <class Tiles>
constexpr QConvKernel tiled_kernel(std::string_view name, Isa isa) {
  using Conv = TiledConv<Tiles>;
  return {name,          isa,
          Conv::why_not, Conv::packed_bytes,
          Conv::pack,    Conv::scratch_bytes,
          Conv::run,     Conv::first_reads};
}

}  // namespace
}  // namespace kvant::backends::cpu
