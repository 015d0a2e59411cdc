// SPDX-License-Identifier: Apache-2.0
// The driver of dense and grouped convolutions. A window is `kh` runs of kw*c contiguous activations (or
// kh*kw runs of c/group, with groups or column dilation), so a 7x7 stem over 3 channels wastes 3 of 24 bytes
// and needs no im2col.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "backends/cpu/kernels/qconv/packed.h"
#include "backends/cpu/kernels/qconv/slab.h"

namespace kvant::backends::cpu {
namespace {

constexpr double kSmall = 1e9;             // far below 2^31
constexpr int64_t kNearBytes = 24 * 1024;  // less than a first-level cache

struct Runs {
  int64_t rows, columns, length, dwords;  // length in activations
};

Runs runs_of(const QConvDesc& desc, int element) {
  const ConvShape& s = desc.shape;
  const bool whole_rows = s.group == 1 && (s.dilation_w == 1 || s.kw == 1);
  Runs runs{s.kh, whole_rows ? 1 : s.kw, whole_rows ? s.kw * s.c : s.group_c(), 0};
  runs.dwords = (runs.length * element + 3) / 4;
  return runs;
}

// A block of output channels of one group; offsets are into the packed weights and the per-lane arrays.
struct Block {
  int64_t group, first, channels;  // first: within the group
  const TileWidth* width;
  int64_t weight_offset, lane_offset;
};

// Walks over the blocks in order: the widest that does not exceed what is left, rounded up to the narrowest.
class Blocks {
 public:
  Blocks(const DenseTiles& tiles, const QConvDesc& desc)
      : tiles_(tiles), groups_(desc.shape.group), group_k_(desc.shape.group_k()) {
    const Runs runs = runs_of(desc, tiles.element);
    lane_bytes_ = runs.rows * runs.columns * runs.dwords * 4;
  }

  bool next(Block& block) {
    if (group_ == groups_) return false;
    const int64_t left = group_k_ - first_;
    const int64_t smallest = tiles_.widths[tiles_.width_count - 1].lanes;
    const int64_t padded = (left + smallest - 1) / smallest * smallest;
    const TileWidth* width = tiles_.widths;
    while (width->lanes > padded) ++width;
    block = {group_, first_, std::min<int64_t>(left, width->lanes), width, weight_offset_, lane_offset_};
    weight_offset_ += width->lanes * lane_bytes_;
    lane_offset_ += width->lanes;
    first_ += block.channels;
    if (first_ == group_k_) {
      first_ = 0;
      ++group_;
    }
    return true;
  }
  // After the last block: totals.
  int64_t weight_bytes() const { return weight_offset_; }
  int64_t lanes() const { return lane_offset_; }

 private:
  const DenseTiles& tiles_;
  int64_t groups_, group_k_, lane_bytes_ = 0;
  int64_t group_ = 0, first_ = 0, weight_offset_ = 0, lane_offset_ = 0;
};

struct DenseLayout : PackedLayout {
  int64_t blocks = 0;

  DenseLayout(const DenseTiles& tiles, const QConvDesc& desc) {
    Blocks walk(tiles, desc);
    for (Block block; walk.next(block);) ++blocks;
    weight_bytes = walk.weight_bytes();
    lanes = walk.lanes();
  }
  // One byte: whether no value of the epilogue comes near the bounds of int32.
  size_t small() const { return end(); }
  size_t bytes() const { return small() + 64; }
};

// The largest magnitude that a channel's value can have before it is rounded.
double largest_value(const Epilogue& e, int64_t sum_of_magnitudes, float multiplier, float bias) {
  return 255.0 * static_cast<double>(sum_of_magnitudes) * std::abs(static_cast<double>(multiplier)) +
         std::abs(static_cast<double>(bias)) + 512.0 * std::abs(static_cast<double>(e.residual_multiplier));
}

// Weights of one lane: writes its bytes of every dword and returns their sum.
int32_t pack_lane(const DenseTiles& tiles, const QConvDesc& desc, const int8_t* filter, int lanes, int lane,
                  std::byte* out) {
  const Runs runs = runs_of(desc, tiles.element);
  const int per_dword = 4 / tiles.element;
  int32_t sum = 0;
  for (int64_t run = 0; run < runs.rows * runs.columns; ++run) {
    // [kh][kw][c/group] is contiguous: a run is the next `length` weights, whichever way the window is cut.
    const int8_t* taps = filter + run * runs.length;
    for (int64_t i = 0; i < runs.length; ++i) {
      std::byte* dword = out + ((run * runs.dwords + i / per_dword) * lanes + lane) * 4;
      if (tiles.element == 1) {
        reinterpret_cast<int8_t*>(dword)[i % per_dword] = taps[i];
      } else {
        reinterpret_cast<int16_t*>(dword)[i % per_dword] = taps[i];
      }
      sum += taps[i];
    }
  }
  return sum;
}

// Nothing when the epilogue has another form. `small`: no value comes near the bounds of int32.
std::optional<Rounding> rounding_of(const Epilogue& e, bool small) {
  if (!e.codes() || e.activation != Activation::None || e.residual == Code::F32) return std::nullopt;
  const bool is_signed = e.output == Code::I8;
  const int shift = is_signed ? 0 : 128;
  Rounding r;
  r.high = static_cast<float>(e.high - e.zero_point);
  r.zero_point = static_cast<int16_t>(e.zero_point - shift);
  r.low = static_cast<int16_t>(e.low - shift);
  r.flip = is_signed ? 0 : 0x80808080u;
  r.clamps_high = small && e.high - shift == 127 ? 0 : 1;
  r.residual_multiplier = e.residual_multiplier;
  r.residual_zero_point = e.residual_zero_point + (e.residual == Code::I8 ? 128 : 0);
  r.residual_flip = e.residual == Code::I8 ? 0x80808080u : 0;
  return r;
}

// A share of the work: rows (or, when `by_blocks`, blocks).
struct Share {
  int64_t first, last;
};

Share share_of(int64_t count, int thread, int threads) {
  return {count * thread / threads, count * (thread + 1) / threads};
}

// Small maps with many weights: each thread takes its own weights, so that none are read twice.
bool split_by_blocks(const DenseLayout& layout, const QConvDesc& desc, int threads) {
  const ConvShape& s = desc.shape;
  if (threads == 1 || layout.blocks < threads) return false;
  const int64_t rows = s.n * s.ho;
  if (rows < threads) return true;
  const bool even_rows = rows % threads == 0 || rows >= 8 * threads;
  const bool even_blocks = layout.blocks % threads == 0 || layout.blocks >= 8 * threads;
  if (even_blocks && !even_rows) return true;
  return even_blocks && layout.weight_bytes > 2 * s.n * s.h * s.w * s.c;
}

enum class Split { Rows, Blocks, Pixels };

// How threads share a layer. A single row of pixels (a product of matrices whose rows no tile divides) is cut
// within the row where blocks of channels would leave a thread with much less than another.
Split split_of(const DenseLayout& layout, const QConvDesc& desc, int threads) {
  const ConvShape& s = desc.shape;
  if (threads > 1 && s.n * s.ho == 1) {
    const int64_t of_blocks = (layout.blocks + threads - 1) / threads * s.wo;
    const int64_t of_pixels = layout.blocks * ((s.wo + threads - 1) / threads);
    if (11 * of_pixels < 10 * of_blocks) return Split::Pixels;
  }
  return split_by_blocks(layout, desc, threads) ? Split::Blocks : Split::Rows;
}

class Run {
 public:
  Run(const DenseTiles& tiles, const QConvDesc& desc, const QConvPointers& p)
      : tiles_(tiles),
        desc_(desc),
        p_(p),
        layout_(tiles, desc),
        runs_(runs_of(desc, tiles.element)),
        slab_(desc, tiles.element, !Slab::readable_in_place(desc, tiles.element, runs_.length)),
        pixels_{0, desc.shape.wo} {
    const ConvShape& s = desc.shape;
    args_.pixel_stride = s.stride_w * slab_.pixel_bytes();
    args_.segment_rows = runs_.rows;
    args_.segment_columns = runs_.columns;
    args_.row_step = s.dilation_h * slab_.row_bytes();
    args_.column_step = s.dilation_w * slab_.pixel_bytes();
    args_.dwords = runs_.dwords;
    args_.residual_stride = s.k * code_bytes(desc.epilogue.residual);
    args_.y_stride = s.k * code_bytes(desc.epilogue.output);
    args_.epilogue = &desc.epilogue;
    rounding_ = rounding_of(desc.epilogue, p.packed[layout_.small()] != std::byte{0});
    args_.rounding = rounding_ ? &*rounding_ : nullptr;
  }

  void share(int thread, int threads) {
    const ConvShape& s = desc_.shape;
    std::byte* scratch = p_.scratch + static_cast<size_t>(thread) * slab_.scratch_bytes();
    const Split split = split_of(layout_, desc_, threads);
    Share blocks{0, layout_.blocks}, rows{0, s.n * s.ho};
    if (split == Split::Blocks) blocks = share_of(layout_.blocks, thread, threads);
    if (split == Split::Rows) rows = share_of(s.n * s.ho, thread, threads);
    if (split == Split::Pixels) pixels_ = share_of(s.wo, thread, threads);
    for (int64_t row = rows.first; row < rows.last;) {
      const int64_t image = row / s.ho, in_image = row % s.ho;
      const int64_t count = std::min({rows_per_chunk(), rows.last - row, s.ho - in_image});
      const std::byte* x = slab_.prepare(p_.x, image, in_image, count, scratch);
      chunk(x, row, count, blocks, row + count == rows.last);
      row += count;
    }
  }

 private:
  void chunk(const std::byte* x, int64_t row, int64_t rows, const Share& share, bool last_chunk) {
    Blocks walk(tiles_, desc_);
    int64_t index = 0;
    for (Block block; walk.next(block); ++index) {
      if (index < share.first || index >= share.last) continue;
      set_block(block);
      look_ahead(walk, block, index + 1 < share.last, last_chunk);
      const int64_t channel = block.group * desc_.shape.group_k() + block.first;
      const std::byte* from = x + block.group * desc_.shape.group_c() * tiles_.element;
      for (int64_t i = 0; i < rows; ++i) {
        one_row(*block.width, from + i * desc_.shape.stride_h * slab_.row_bytes(), (row + i) * desc_.shape.wo,
                channel);
      }
    }
  }

  // What to bring near during this block: the next one's weights, or after the last what the next step reads.
  void look_ahead(Blocks after, const Block& block, bool more, bool last_chunk) {
    ahead_ = ahead_end_ = nullptr;
    if (more) {
      Block next{};
      after.next(next);
      ahead_ = p_.packed + next.weight_offset;
      ahead_end_ = ahead_ + next.width->lanes * lane_bytes();
    } else if (last_chunk) {
      ahead_ = p_.after.data();
      ahead_end_ = ahead_ + p_.after.size();
    }
    still_ = p_.packed + block.weight_offset;
  }

  // Where all weights stay near, rows are taken one by one, so that what a row reads and writes is still near
  // for the next block of channels.
  int64_t rows_per_chunk() const {
    const ConvShape& s = desc_.shape;
    if (s.kh > 1 || layout_.weight_bytes > kNearBytes) return slab_.rows_per_chunk();
    const int64_t row_bytes = slab_.row_bytes() + s.wo * (args_.y_stride + args_.residual_stride);
    return std::clamp<int64_t>(kNearBytes / row_bytes, 1, slab_.rows_per_chunk());
  }

  int64_t lane_bytes() const { return runs_.rows * runs_.columns * runs_.dwords * 4; }

  void run_tile(TileFn tile, int64_t pixels) {
    const bool any = ahead_ != ahead_end_;
    args_.ahead = any ? ahead_ : still_;
    args_.ahead_step = any ? 64 : 0;
    if (!any && p_.residual != nullptr) {  // the residual of the pixels that come next
      args_.ahead = reinterpret_cast<const std::byte*>(args_.residual) + pixels * args_.residual_stride;
      args_.ahead_step = args_.residual_stride;
    }
    tile(args_);
    if (desc_.table) tiles_.look_up(*desc_.table, args_.y, args_.y_stride, pixels, args_.channels);
    if (any) ahead_ += std::min<int64_t>(ahead_end_ - ahead_, runs_.rows * runs_.columns * runs_.dwords * 64);
  }

  void set_block(const Block& block) {
    layout_.point_at(args_, p_.packed, block.weight_offset, block.lane_offset);
    args_.channels = block.channels;
  }

  // Cuts a row into tiles of nearly equal size: one tile of 2 after nine of 6 would cost as much as a full
  // one.
  void one_row(const TileWidth& width, const std::byte* x, int64_t pixel, int64_t channel) {
    const int64_t count = pixels_.last - pixels_.first;
    const int64_t tiles = (count + width.max_pixels - 1) / width.max_pixels;
    int64_t done = 0;
    for (int64_t i = 0; i < tiles; ++i) {
      for (int64_t left = count * (i + 1) / tiles - done; left > 0;) {
        int64_t pixels = left;
        while (width.tiles[pixels] == nullptr) --pixels;
        const int64_t at = pixels_.first + done;
        args_.x = x + at * args_.pixel_stride;
        args_.y = p_.y + (pixel + at) * args_.y_stride + channel * code_bytes(desc_.epilogue.output);
        if (p_.residual != nullptr) {
          args_.residual = p_.residual + (pixel + at) * args_.residual_stride +
                           channel * code_bytes(desc_.epilogue.residual);
        }
        run_tile(width.tiles[pixels], pixels);
        done += pixels;
        left -= pixels;
      }
    }
  }

  const DenseTiles& tiles_;
  const QConvDesc& desc_;
  const QConvPointers& p_;
  DenseLayout layout_;
  Runs runs_;
  Slab slab_;
  Share pixels_;  // of each row
  TileArgs args_;
  std::optional<Rounding> rounding_;
  const std::byte *ahead_ = nullptr, *ahead_end_ = nullptr, *still_ = nullptr;
};

}  // namespace

std::string dense_why_not(const QConvDesc&) { return {}; }

size_t dense_packed_bytes(const DenseTiles& tiles, const QConvDesc& desc) {
  return DenseLayout(tiles, desc).bytes();
}

void dense_pack(const DenseTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                std::byte* packed) {
  const DenseLayout layout(tiles, desc);
  const ConvShape& s = desc.shape;
  std::memset(packed, 0, layout.bytes());
  const int32_t zero_point = tiles.element == 2 ? 0 : unsigned_zero_point(desc);
  const int64_t filter_size = s.kh * s.kw * s.group_c();
  bool small = true;
  Blocks walk(tiles, desc);
  for (Block block; walk.next(block);) {
    for (int lane = 0; lane < block.width->lanes; ++lane) {
      const int64_t in_block = tiles.channel_of(block.width->lanes, lane);
      if (in_block >= block.channels) continue;
      const int64_t k = block.group * s.group_k() + block.first + in_block;
      const int32_t sum = pack_lane(tiles, desc, weights.w + k * filter_size, block.width->lanes, lane,
                                    packed + block.weight_offset);
      layout.write_lane(packed, block.lane_offset + lane, -zero_point * sum, weights.multiplier[k],
                        weights.bias[k]);
      int64_t magnitudes = 0;
      for (int64_t i = 0; i < filter_size; ++i) magnitudes += std::abs(int{weights.w[k * filter_size + i]});
      small =
          small && largest_value(desc.epilogue, magnitudes, weights.multiplier[k], weights.bias[k]) < kSmall;
    }
  }
  packed[layout.small()] = std::byte{small};
}

size_t dense_scratch_bytes(const DenseTiles& tiles, const QConvDesc& desc) {
  const QConvDesc flat = flattened(desc);
  const Runs runs = runs_of(flat, tiles.element);
  return Slab(flat, tiles.element, !Slab::readable_in_place(flat, tiles.element, runs.length))
      .scratch_bytes();
}

std::span<const std::byte> dense_first_reads(const DenseTiles& tiles, const QConvDesc& desc,
                                             const std::byte* packed, int thread, int threads) {
  const QConvDesc flat = flattened(desc);
  const DenseLayout layout(tiles, flat);
  const int64_t first =
      split_of(layout, flat, threads) == Split::Blocks ? share_of(layout.blocks, thread, threads).first : 0;
  Blocks walk(tiles, flat);
  Block block{};
  for (int64_t i = 0; i <= first; ++i) walk.next(block);
  const Runs runs = runs_of(flat, tiles.element);
  const auto bytes = static_cast<size_t>(block.width->lanes * runs.rows * runs.columns * runs.dwords * 4);
  return {packed + block.weight_offset, bytes};
}

void dense_run(const DenseTiles& tiles, const QConvDesc& desc, const QConvPointers& pointers, int thread,
               int threads) {
  const QConvDesc flat = flattened(desc);
  Run(tiles, flat, pointers).share(thread, threads);
}

}  // namespace kvant::backends::cpu
