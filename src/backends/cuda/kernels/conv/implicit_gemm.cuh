// SPDX-License-Identifier: Apache-2.0
// Convolution as a product of matrices on the tensor cores: rows are output pixels, columns output channels,
// the inner dimension runs over taps and channels and is read from the image in place (mma.sync m16n8k32,
// asynchronous copies in several stages, the inner dimension split over the warps of a block, the blocks of a
// cluster, or blocks that meet in global memory).
#pragma once

#include "backends/cuda/kernels/conv/conv_params.h"

namespace kvant::backends::cuda::device {

// How 16 bytes of the image reach shared memory.
enum class Fetch {
  Copy16,  // channels of a group are multiples of 16 that lie at multiples of 16
  Copy8,   // of 8
  Copy4,   // of 4
  Bytes,   // anything
  Stem,    // few channels: all taps of a row of the window, which lie side by side, are one "tap"
};

template <int kRows_, int kColumns_, int kInner_, int kWarpsM_, int kWarpsN_, int kWarpsK_, int kStages_,
          int kCluster_, Fetch kFetch_, int kSplit_ = 1>
struct Tile {
  static constexpr int kRows = kRows_, kColumns = kColumns_, kInner = kInner_;
  static constexpr int kWarpsM = kWarpsM_, kWarpsN = kWarpsN_, kWarpsK = kWarpsK_;
  static constexpr int kStages = kStages_, kCluster = kCluster_;
  static constexpr Fetch kFetch = kFetch_;
  // Blocks that share the inner dimension of a tile: of a cluster, or through global memory, where the last
  // to finish adds up what all have left.
  static constexpr int kSplit = kSplit_, kParts = kCluster * kSplit;
  static constexpr int kThreads = kWarpsM * kWarpsN * kWarpsK * 32;
  static constexpr int kWarpRows = kRows / kWarpsM, kWarpColumns = kColumns / kWarpsN;
  static constexpr int kFragmentsM = kWarpRows / 16, kFragmentsN = kWarpColumns / 16;
  static constexpr int kABytes = kRows * kInner, kBBytes = kColumns * kInner;
  static constexpr int kStageBytes = kABytes + kBBytes;
  // Sums pass through shared memory; 8 more columns keep writes of a fragment free of bank conflicts.
  static constexpr int kSumPitch = kColumns + 8;
  static constexpr int kSumBytes = kWarpsK * kRows * kSumPitch * 4;
  static constexpr int kSharedBytes = kStages * kStageBytes > kSumBytes ? kStages* kStageBytes : kSumBytes;

  static_assert(kWarpRows % 16 == 0 && kWarpColumns % 16 == 0 && kInner % 32 == 0);
  static_assert((kInner / 32) % kWarpsK == 0, "each warp along the inner dimension takes whole slices of 32");
  static_assert(kCluster == 1 || kSplit == 1);
  static_assert(kThreads % (kInner / 16) == 0 && kThreads % (kColumns / 4) == 0);
};

// Bugs that tests plant to show that the emulator finds them; None in every kernel that is used.
enum class Planted {
  None,
  NoLoopBarrier,
  WaitOneLess,
  NoBarrierBeforeSums,
  NoBarrierAfterSums,
  SwappedB,
  NoPaddingTest,
  NoFlip,
  NoFirstClusterBarrier,
  NoLastClusterBarrier,
  NoSwizzle,
  NoLastRowTest,
  LastTooEarly,
  NoFenceBeforeArrival,
  NoBarrierBeforeArrival,
  NoFenceAfterArrival,
  NoReset,
  OtherSlice,
};

// int32 that wraps, as the tensor cores' sums do.
KVANT_DEVICE int wrapped_sum(int a, int b) {
  return static_cast<int>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
}
KVANT_DEVICE Vector16 wrapped_sum(const Vector16& a, const Vector16& b) {
  return {wrapped_sum(a.x, b.x), wrapped_sum(a.y, b.y), wrapped_sum(a.z, b.z), wrapped_sum(a.w, b.w)};
}

// Where 16-byte chunk `chunk` of row `row` lies in a tile, so that ldmatrix reads without bank conflicts.
template <int kInner, Planted kPlanted>
KVANT_DEVICE int swizzled(int row, int chunk) {
  constexpr int kChunks = kInner / 16;
  if constexpr (kPlanted == Planted::NoSwizzle) return row * kInner + chunk * 16;
  if constexpr (kChunks >= 8) return row * kInner + ((chunk ^ (row & 7)) << 4);
  if constexpr (kChunks == 4) return row * kInner + ((chunk ^ ((row >> 1) & 3)) << 4);
  return row * kInner + ((chunk ^ ((row >> 2) & 1)) << 4);
}

// A place along the inner dimension: tap (r, s) and channel within it.
struct InnerPlace {
  int r, s, c;
};

KVANT_DEVICE void advance(InnerPlace& place, int bytes, const ConvParams& p, int taps_of_row) {
  place.c += bytes;
  while (place.c >= p.padded_c) {
    place.c -= p.padded_c;
    if (++place.s == taps_of_row) place.s = 0, ++place.r;
  }
}

// Brings 16 bytes of the image to `to`: channels place.c... of the pixel (h, w), or padding.
template <Fetch kFetch, Planted kPlanted>
KVANT_DEVICE void fetch16(uint8_t* to, const ConvParams& p, const uint8_t* image, int h, int w, int c,
                          bool inside) {
  bool here = inside && static_cast<unsigned>(h) < static_cast<unsigned>(p.h);
  if constexpr (kFetch == Fetch::Stem) {
    // Position `at` of the image row in bytes; columns left and right of the image are padding.
    const int channels = p.group_c, at = w * channels + c, bytes = p.w_in * channels;
    const uint8_t* row = image + static_cast<int64_t>(h) * bytes;
    uint32_t words[4];
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[i] = 0;
      KVANT_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int k = i * 4 + j;
        const bool ok = here && at + k >= 0 && at + k < bytes && c + k < p.kw * channels;
        words[i] |= static_cast<uint32_t>(ok ? row[at + k] : p.padding[0]) << (8 * j);
      }
    }
    store(to, Vector16{static_cast<int>(words[0]), static_cast<int>(words[1]), static_cast<int>(words[2]),
                       static_cast<int>(words[3])});
    return;
  }
  here = here && static_cast<unsigned>(w) < static_cast<unsigned>(p.w_in);
  if constexpr (kPlanted == Planted::NoPaddingTest) {
    here = inside;
    h = h < 0 ? 0 : h >= p.h ? p.h - 1 : h;
    w = w < 0 ? 0 : w >= p.w_in ? p.w_in - 1 : w;
  }
  const uint8_t* from = image + (static_cast<int64_t>(h) * p.w_in + w) * p.x_pitch + c;
  if constexpr (kFetch == Fetch::Copy16) {
    copy_async<16>(to, here ? from : p.padding);
  } else if constexpr (kFetch == Fetch::Bytes) {
    uint32_t words[4];
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[i] = 0;
      KVANT_UNROLL
      for (int j = 0; j < 4; ++j) {
        const int k = i * 4 + j;
        words[i] |= static_cast<uint32_t>(here && c + k < p.group_c ? from[k] : p.padding[0]) << (8 * j);
      }
    }
    store(to, Vector16{static_cast<int>(words[0]), static_cast<int>(words[1]), static_cast<int>(words[2]),
                       static_cast<int>(words[3])});
  } else {
    constexpr int kBytes = kFetch == Fetch::Copy8 ? 8 : 4;
    KVANT_UNROLL
    for (int i = 0; i < 16; i += kBytes)
      copy_async<kBytes>(to + i, here && c + i < p.group_c ? from + i : p.padding);
  }
}

// Leaves this block's sums in global memory, [tile][part][kRows][kColumns]. True for the last block of the
// tile to do so.
template <class T, Planted kPlanted>
KVANT_DEVICE bool leave_part(const ConvParams& p, int* sums, int tile, int rows) {
  constexpr int kVectors = T::kColumns / 4, kRowStep = T::kThreads / kVectors;
  const int tid = thread_index(), column = tid % kVectors * 4;
  const int slice = kPlanted == Planted::OtherSlice ? 0 : static_cast<int>(block_z());
  int32_t* part = p.parts + (static_cast<int64_t>(tile) * T::kSplit + slice) * T::kRows * T::kColumns;
  for (int row = tid / kVectors; row < rows; row += kRowStep) {
    const int* at = sums + row * T::kSumPitch + column;
    Vector16 total = load<Vector16>(at);
    KVANT_UNROLL
    for (int k = 1; k < T::kWarpsK; ++k) {
      total = wrapped_sum(total, load<Vector16>(at + k * T::kRows * T::kSumPitch));
    }
    hand_over(part + row * T::kColumns + column, total);
  }
  if constexpr (kPlanted != Planted::NoFenceBeforeArrival) publish_writes();
  if constexpr (kPlanted != Planted::NoBarrierBeforeArrival) barrier();
  if (tid == 0) {
    const bool last =
        arrives_last(p.arrivals + tile, T::kSplit - (kPlanted == Planted::LastTooEarly ? 1 : 0));
    if constexpr (kPlanted == Planted::NoReset) {
      if (last) p.arrivals[tile] = T::kSplit;
    }
    sums[0] = last ? 1 : 0;  // nobody reads the sums any more
  }
  barrier();
  const bool last = sums[0] != 0;
  if constexpr (kPlanted != Planted::NoFenceAfterArrival) publish_writes();
  return last;
}

// Adds what the warps along the inner dimension, then the blocks of the cluster, have summed up, and finishes
// the tile. `sums` is [kWarpsK][kRows][kSumPitch] in shared memory.
template <class T, Planted kPlanted>
KVANT_DEVICE void finish_tile(const ConvParams& p, int* sums, int64_t first_row, int rows_left,
                              int64_t channel, int channels, const ChannelConstants& constants) {
  constexpr int kVectors = T::kColumns / 4, kRowStep = T::kThreads / kVectors;
  constexpr int kSlice = T::kRows * T::kSumPitch;
  const int tid = thread_index(), column = tid % kVectors * 4;
  int first = 0, last = T::kRows;
  const int tile = static_cast<int>(block_y() * grid_x() + block_x());
  if constexpr (T::kSplit > 1) {
    if (!leave_part<T, kPlanted>(p, sums, tile, last < rows_left ? last : rows_left)) return;
  }
  if constexpr (T::kCluster > 1) {
    if constexpr (T::kWarpsK > 1) {
      for (int row = tid / kVectors; row < T::kRows; row += kRowStep) {
        int* at = sums + row * T::kSumPitch + column;
        Vector16 total = load<Vector16>(at);
        KVANT_UNROLL
        for (int k = 1; k < T::kWarpsK; ++k) {
          total = wrapped_sum(total, load<Vector16>(at + k * kSlice));
        }
        store(at, total);
      }
    }
    if constexpr (kPlanted != Planted::NoFirstClusterBarrier) cluster_barrier();
    constexpr int kRowsOfBlock = (T::kRows + T::kCluster - 1) / T::kCluster;
    first = static_cast<int>(cluster_rank()) * kRowsOfBlock;
    last = first + kRowsOfBlock < T::kRows ? first + kRowsOfBlock : T::kRows;
  }
  if constexpr (kPlanted != Planted::NoLastRowTest) last = last < rows_left ? last : rows_left;
  if (channels > 0) {
    for (int row = first + tid / kVectors; row < last; row += kRowStep) {
      const int* at = sums + row * T::kSumPitch + column;
      Vector16 total{0, 0, 0, 0};
      if constexpr (T::kSplit > 1) {
        const int32_t* part =
            p.parts + (static_cast<int64_t>(tile) * T::kSplit * T::kRows + row) * T::kColumns + column;
        KVANT_UNROLL
        for (int z = 0; z < T::kSplit; ++z) {
          total = wrapped_sum(total, take_over(part + z * T::kRows * T::kColumns));
        }
      } else if constexpr (T::kCluster > 1) {
        KVANT_UNROLL
        for (unsigned rank = 0; rank < T::kCluster; ++rank) {
          total = wrapped_sum(total, load_peer(at, rank));
        }
      } else {
        KVANT_UNROLL
        for (int k = 0; k < T::kWarpsK; ++k) {
          total = wrapped_sum(total, load<Vector16>(at + k * kSlice));
        }
      }
      const int four[4] = {total.x, total.y, total.z, total.w};
      finish_channels(p.epilogue, constants, first_row + row, channel, channels, four);
    }
  }
  // Nobody leaves while a neighbour still reads this block's sums.
  if constexpr (T::kCluster > 1 && kPlanted != Planted::NoLastClusterBarrier) cluster_barrier();
}

// grid: x tiles of rows, y tiles of columns of each group, z blocks of the cluster or parts of the split.
// Packed weights: filter by filter (group by group), row_k bytes each (a multiple of kInner, zeros at the
// end), taps of padded_c channels.
template <class T, Planted kPlanted = Planted::None>
KVANT_DEVICE void implicit_gemm(const ConvParams& p) {
  constexpr int kStages = T::kStages, kChunks = T::kInner / 16, kRowStep = T::kThreads / kChunks;
  constexpr int kARounds = (T::kRows + kRowStep - 1) / kRowStep;
  constexpr int kBRounds = (T::kColumns + kRowStep - 1) / kRowStep;
  uint8_t* shared = shared_memory();
  const int tid = thread_index(), lane = tid & 31, warp = tid >> 5;
  const int warp_k = warp / (T::kWarpsM * T::kWarpsN), warp_mn = warp % (T::kWarpsM * T::kWarpsN);
  const int warp_m = warp_mn / T::kWarpsN, warp_n = warp_mn % T::kWarpsN;

  const int column_tiles = (p.group_k + T::kColumns - 1) / T::kColumns;
  const int group = static_cast<int>(block_y()) / column_tiles;
  const int first_column = (static_cast<int>(block_y()) % column_tiles) * T::kColumns;
  const int image_rows = p.ho * p.wo, all_rows = p.n * image_rows;
  const int first_row = static_cast<int>(block_x()) * T::kRows;

  // The share of this block, in steps of kInner.
  const int all_steps = p.row_k / T::kInner, share = (all_steps + T::kParts - 1) / T::kParts;
  const int first_step = T::kParts > 1 ? static_cast<int>(block_z()) * share : 0;
  const int last_step = first_step + share < all_steps ? first_step + share : all_steps;
  const int steps = last_step > first_step ? last_step - first_step : 0;

  // A thread copies one column of chunks, in every kRowStep-th row.
  const int chunk = tid % kChunks, copy_row = tid / kChunks;
  const uint8_t* images[kARounds];
  int tops[kARounds], lefts[kARounds];
  KVANT_UNROLL
  for (int i = 0; i < kARounds; ++i) {
    const int row = first_row + copy_row + i * kRowStep;
    const int pixel = row < all_rows ? row : all_rows - 1, in_image = pixel % image_rows;
    tops[i] = in_image / p.wo * p.stride_h - p.top;
    lefts[i] = in_image % p.wo * p.stride_w - p.left;
    images[i] = p.x + static_cast<int64_t>(pixel / image_rows) * p.h * p.w_in * p.x_pitch + group * p.group_c;
  }
  const int taps_of_row = T::kFetch == Fetch::Stem ? 1 : p.kw;
  InnerPlace place;
  {
    const int inner = first_step * T::kInner + chunk * 16, tap = inner / p.padded_c;
    place = {tap / taps_of_row, tap % taps_of_row, inner % p.padded_c};
  }

  const auto fetch_weights = [&](int stage, int step) {
    uint8_t* to = shared + stage * T::kStageBytes + T::kABytes;
    const int64_t inner = static_cast<int64_t>(first_step + step) * T::kInner + chunk * 16;
    KVANT_UNROLL
    for (int i = 0; i < kBRounds; ++i) {
      const int row = copy_row + i * kRowStep;
      if (T::kColumns % kRowStep != 0 && row >= T::kColumns) break;
      const int column = first_column + row < p.group_k ? first_column + row : p.group_k - 1;
      copy_async<16>(to + swizzled<T::kInner, kPlanted>(row, chunk),
                     p.w + static_cast<int64_t>(group * p.group_k + column) * p.row_k + inner);
    }
  };
  const auto fetch_image = [&](int stage) {
    uint8_t* to = shared + stage * T::kStageBytes;
    const int dh = place.r * p.dilation_h, dw = place.s * p.dilation_w;
    KVANT_UNROLL
    for (int i = 0; i < kARounds; ++i) {
      const int row = copy_row + i * kRowStep;
      if (T::kRows % kRowStep != 0 && row >= T::kRows) break;
      fetch16<T::kFetch, kPlanted>(to + swizzled<T::kInner, kPlanted>(row, chunk), p, images[i], tops[i] + dh,
                                   lefts[i] + dw, place.c, place.r < p.kh);
    }
    advance(place, T::kInner, p, taps_of_row);
  };

  int sums[T::kFragmentsM][2 * T::kFragmentsN][4];
  KVANT_UNROLL
  for (int i = 0; i < T::kFragmentsM; ++i) {
    KVANT_UNROLL
    for (int j = 0; j < 2 * T::kFragmentsN; ++j) {
      KVANT_UNROLL
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
    }
  }

  // Constants do not depend on the layer before.
  KVANT_UNROLL
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) fetch_weights(s, s);
  }
  const int column = tid % (T::kColumns / 4) * 4;
  const int channels_left = p.group_k - first_column - column;
  const int channels = channels_left < 0 ? 0 : channels_left > 4 ? 4 : channels_left;
  const int64_t channel = static_cast<int64_t>(group) * p.group_k + first_column + column;
  const ChannelConstants constants = channel_constants(p.epilogue, channels > 0 ? channel : 0, channels);
  wait_for_previous();
  KVANT_UNROLL
  for (int s = 0; s < kStages - 1; ++s) {
    if (s < steps) fetch_image(s);
    commit_copies();
  }

  const uint32_t flip = kPlanted == Planted::NoFlip ? 0 : p.flip;
  for (int step = 0; step < steps; ++step) {
    wait_copies<(kPlanted == Planted::WaitOneLess ? kStages - 1 : kStages - 2)>();
    if constexpr (kPlanted != Planted::NoLoopBarrier) barrier();
    const int next = step + kStages - 1;
    if (next < steps) {
      fetch_weights(next % kStages, next);
      fetch_image(next % kStages);
    }
    commit_copies();
    const uint8_t* from_a = shared + step % kStages * T::kStageBytes;
    const uint8_t* from_b = from_a + T::kABytes;
    KVANT_UNROLL
    for (int slice = 0; slice < T::kInner / 32 / T::kWarpsK; ++slice) {
      const int at = (slice * T::kWarpsK + warp_k) * 2;
      uint32_t a[T::kFragmentsM][4], b[T::kFragmentsN][4];
      KVANT_UNROLL
      for (int i = 0; i < T::kFragmentsM; ++i) {
        const int row = warp_m * T::kWarpRows + i * 16 + (lane & 15);
        load_matrix_x4(a[i], from_a + swizzled<T::kInner, kPlanted>(row, at + (lane >> 4)));
        KVANT_UNROLL
        for (int e = 0; e < 4; ++e) a[i][e] ^= flip;
      }
      KVANT_UNROLL
      for (int j = 0; j < T::kFragmentsN; ++j) {
        const int row = warp_n * T::kWarpColumns + j * 16 + (lane & 7) + ((lane >> 4) << 3);
        const int half = kPlanted == Planted::SwappedB ? (~lane >> 3) & 1 : (lane >> 3) & 1;
        load_matrix_x4(b[j], from_b + swizzled<T::kInner, kPlanted>(row, at + half));
      }
      multiply_tile<T::kFragmentsM, T::kFragmentsN>(sums, a, b);
    }
  }
  wait_copies<0>();
  let_next_start();
  if constexpr (kPlanted != Planted::NoBarrierBeforeSums) barrier();  // their memory is the stages'

  int* all_sums = reinterpret_cast<int*>(shared);
  int* own = all_sums + (warp_k * T::kRows + warp_m * T::kWarpRows + (lane >> 2)) * T::kSumPitch +
             warp_n * T::kWarpColumns + (lane & 3) * 2;
  KVANT_UNROLL
  for (int i = 0; i < T::kFragmentsM; ++i) {
    KVANT_UNROLL
    for (int j = 0; j < 2 * T::kFragmentsN; ++j) {
      KVANT_UNROLL
      for (int e = 0; e < 4; e += 2) {
        const Pair pair{sums[i][j][e], sums[i][j][e + 1]};
        store(own + (i * 16 + e * 4) * T::kSumPitch + j * 8, pair);
      }
    }
  }
  if constexpr (kPlanted != Planted::NoBarrierAfterSums) barrier();
  finish_tile<T, kPlanted>(p, all_sums, first_row, all_rows - first_row, channel, channels, constants);
}

}  // namespace kvant::backends::cuda::device
