// SPDX-License-Identifier: Apache-2.0
// What differs between instruction sets: the innermost tile functions and the packed form that they read. The
// drivers (dense.cc, depthwise.cc) are the same for all.
#pragma once

#include "backends/cpu/kernels/qconv/qconv.h"

namespace kvant::backends::cpu {

// The integer epilogue without an activation, as vector code wants it. Codes are made as i8; u8 is flipped
// afterwards.
struct Rounding {
  float high = 0;  // high - zero_point
  int16_t zero_point = 0, low = 0;
  uint32_t flip = 0;
  int32_t clamps_high = 1;  // 0: saturation to the code's type is all that is needed above
  float residual_multiplier = 0;
  int32_t residual_zero_point = 0;
  uint32_t residual_flip = 0;
};

// One tile: `pixels` neighbours in a row of the output by one block of output channels. Strides are in bytes.
struct TileArgs {
  const std::byte* x = nullptr;                   // first tap of the first pixel
  int64_t pixel_stride = 0;                       // from a pixel's first tap to its neighbour's
  int64_t segment_rows = 1, segment_columns = 1;  // the taps as runs of `dwords` * 4 contiguous bytes
  int64_t row_step = 0, column_step = 0;          // from run to run
  int64_t dwords = 0;
  const std::byte* w = nullptr;  // [run][dword][lane][4 bytes]
  // Memory to bring into the L2 cache meanwhile: the line at `ahead` for each dword, then `ahead_step` bytes
  // on (64, or 0 with any readable address for nothing).
  const std::byte* ahead = nullptr;
  int64_t ahead_step = 0;
  const int32_t* start = nullptr;  // initial sums, by lane
  const float* multiplier = nullptr;
  const float* bias = nullptr;
  const uint8_t* residual = nullptr;  // of the first pixel, first channel of the block
  int64_t residual_stride = 0;
  uint8_t* y = nullptr;
  int64_t y_stride = 0;
  int64_t channels = 0;  // of the block, at most its lanes
  const Epilogue* epilogue = nullptr;
  const Rounding* rounding = nullptr;  // nullptr: the epilogue is of another form
};
using TileFn = void (*)(const TileArgs& args);

// y = table[y] for `channels` bytes (at most 64) of each of `pixels` pixels.
using LookUpFn = void (*)(const CodeTable& table, uint8_t* y, int64_t stride, int64_t pixels,
                          int64_t channels);
void look_up_plain(const CodeTable& table, uint8_t* y, int64_t stride, int64_t pixels, int64_t channels);
void look_up_avx512(const CodeTable& table, uint8_t* y, int64_t stride, int64_t pixels, int64_t channels);

// A width of block and its tile functions by number of pixels (nullptr where there is none; [1] always is).
struct TileWidth {
  int lanes = 0;
  int max_pixels = 0;
  TileFn tiles[15] = {};
};

struct DenseTiles {
  int element = 1;  // bytes of an activation: 1 (u8 codes), or 2 (int16, zero point already taken off)
  int width_count = 0;
  TileWidth widths[3];                               // lanes falling; the last one takes what is left
  int (*channel_of)(int lanes, int lane) = nullptr;  // lane -> channel within the block
  LookUpFn look_up = look_up_plain;
};

// Depthwise: `pixels` outputs of a row, one block of channels. Taps come in groups of `taps_together`.
struct DepthwiseArgs {
  const std::byte* x = nullptr;  // first tap of the first pixel, first channel of the block
  int64_t pixel_stride = 0, pixels = 0;
  const int64_t* taps = nullptr;  // offset of each tap in bytes, tap_groups * taps_together of them
  int64_t tap_groups = 0;
  TileArgs out;  // w, start, multiplier, bias, residual, y, channels, epilogue
};

struct DepthwiseTiles {
  int element = 1;
  int lanes = 64;
  int taps_together = 4;
  void (*row)(const DepthwiseArgs& args) = nullptr;
  int (*channel_of)(int lanes, int lane) = nullptr;
  LookUpFn look_up = look_up_plain;
  bool whole_blocks = false;  // all lanes of a block are read, those beyond the last channel too
};

// Depthwise by columns of the window: up to four rows of a column are brought together once and serve every
// output whose window holds the column. Input is read in place; what lies outside of it is `fill`. `pixels`
// outputs of one row, one block of channels; weights are [group of four rows][column][lane][4 rows].
struct ColumnsArgs {
  static constexpr int64_t kMaxRows = 8;
  const uint8_t* rows[kMaxRows] =
      {};  // first channel of the block at input column 0; a row of `fill` outside
  int64_t row_count = 0, columns = 0, stride = 1;  // of the window; step from output to output
  int64_t first_column = 0, width = 0;             // input column of the first tap; columns of the input
  int64_t column_bytes = 0, pixels = 0;
  uint8_t fill = 0;   // as u8
  bool flip = false;  // codes are i8
  TileArgs out;
};

struct ColumnsTiles {
  int lanes = 64;
  void (*row)(const ColumnsArgs& args) = nullptr;
  int (*channel_of)(int lanes, int lane) = nullptr;
  LookUpFn look_up = look_up_plain;
};

extern const ColumnsTiles kColumns64Avx512vnni;
extern const DenseTiles kTiles7x64Avx512vnni, kTiles14x32Avx512vnni, kTiles6x16AvxVnni, kTiles6x16Avx2,
    kTiles4x16Plain;
extern const DepthwiseTiles kDepthwise64Avx512vnni, kDepthwise32AvxVnni, kDepthwise16Avx2, kDepthwisePlain;

// On tiles of bytes, with a driver of its own (dense_amx.h).
extern const QConvKernel kQConvAmx;

// The drivers, for any tiles.
std::string dense_why_not(const QConvDesc& desc);
size_t dense_packed_bytes(const DenseTiles& tiles, const QConvDesc& desc);
void dense_pack(const DenseTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                std::byte* packed);
std::span<const std::byte> dense_first_reads(const DenseTiles& tiles, const QConvDesc& desc,
                                             const std::byte* packed, int thread, int threads);
size_t dense_scratch_bytes(const DenseTiles& tiles, const QConvDesc& desc);
void dense_run(const DenseTiles& tiles, const QConvDesc& desc, const QConvPointers& pointers, int thread,
               int threads);

std::string depthwise_why_not(const QConvDesc& desc);
size_t depthwise_packed_bytes(const DepthwiseTiles& tiles, const QConvDesc& desc);
void depthwise_pack(const DepthwiseTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                    std::byte* packed);
std::span<const std::byte> depthwise_first_reads(const DepthwiseTiles& tiles, const QConvDesc& desc,
                                                 const std::byte* packed);
size_t depthwise_scratch_bytes(const DepthwiseTiles& tiles, const QConvDesc& desc);
void depthwise_run(const DepthwiseTiles& tiles, const QConvDesc& desc, const QConvPointers& pointers,
                   int thread, int threads);

std::string columns_why_not(const QConvDesc& desc);
size_t columns_packed_bytes(const ColumnsTiles& tiles, const QConvDesc& desc);
void columns_pack(const ColumnsTiles& tiles, const QConvDesc& desc, const QConvWeights& weights,
                  std::byte* packed);
size_t columns_scratch_bytes(const QConvDesc& desc);
void columns_run(const ColumnsTiles& tiles, const QConvDesc& desc, const QConvPointers& pointers, int thread,
                 int threads);

}  // namespace kvant::backends::cpu
