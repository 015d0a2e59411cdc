// SPDX-License-Identifier: Apache-2.0
// Convolution as a product of matrices for large batches and maps, on sm_90a: one warp keeps a ring of tiles
// full by tensor copies, one or two warpgroups multiply them (wgmma, both operands from shared memory). Rows
// are output pixels, columns output channels, as in implicit_gemm.cuh. What lies outside of the image reads
// as zero, so a zero point other than 0 needs windows that stay inside.
#pragma once

#include "backends/cuda/kernels/conv/conv_params.h"
#include "backends/cuda/kernels/warpgroup.cuh"

namespace kvant::backends::cuda {

struct alignas(128) WarpgroupConvParams {
  TensorMap x;  // [pixels, c] when each window is one pixel, else im2col of [n, h, w, c]
  TensorMap w;  // [k, row_k]
  ConvParams conv;
  bool pixels_in_rows;  // the first form of x
  bool x_signed;
};

namespace device {

template <int kWarpgroups_, int kColumns_, int kInner_, int kStages_>
struct WarpgroupTile {
  static constexpr int kWarpgroups = kWarpgroups_, kColumns = kColumns_, kInner = kInner_, kStages = kStages_;
  static constexpr int kRows = 64 * kWarpgroups, kConsumers = 128 * kWarpgroups, kThreads = kConsumers + 32;
  static constexpr int kABytes = kRows * kInner, kBBytes = kColumns * kInner;
  static constexpr int kStageBytes = kABytes + kBBytes;
  // Sums pass through the memory of the stages; 8 more columns keep writes free of bank conflicts.
  static constexpr int kSumPitch = kColumns + 8;
  static constexpr int kSumBytes = kRows * kSumPitch * 4;
  static constexpr int kRingBytes = kStages * kStageBytes > kSumBytes ? kStages* kStageBytes : kSumBytes;
  static constexpr int kSharedBytes = kRingBytes + 2 * kStages * 8;

  static_assert(kInner == 64 || kInner == 128);
  static_assert(kABytes % 1024 == 0 && kBBytes % 1024 == 0, "tiles start where their swizzle repeats");
  static_assert(kRows <= 256 && kColumns <= 256, "a box of a tensor copy");
};

// Bugs that tests plant; None in every kernel that is used.
enum class PlantedInRing {
  None,
  NoPublish,
  NoFirstBarrier,
  NoWaitForFull,
  NoWaitForEmpty,
  EmptyParity,
  EarlyRelease,
  NoFence,
  NoLastWait,
  FewerBytes,
  SameDescriptor,
  NoBarrierBeforeSums,
  NoBarrierAfterSums,
  OtherSign,
  NoTapOffset,
  NoLastRowTest,
};

// The ring: the tile of step s is in stage s % kStages; full[stage] ends a phase when it is there,
// empty[stage] when every consumer warp is done with it.
template <class T>
struct Ring {
  uint8_t* tiles;
  uint64_t *full, *empty;

  KVANT_DEVICE uint8_t* a(int stage) const { return tiles + stage * T::kStageBytes; }
  KVANT_DEVICE uint8_t* b(int stage) const { return a(stage) + T::kABytes; }
};

// By one thread.
template <class T, PlantedInRing kPlanted>
KVANT_DEVICE void fill_ring(const WarpgroupConvParams& q, const Ring<T>& ring, int steps) {
  const ConvParams& p = q.conv;
  const int first_row = static_cast<int>(block_x()) * T::kRows;
  const int first_column = static_cast<int>(block_y()) * T::kColumns;
  const auto fetch_weights = [&](int step) {
    const int stage = step % T::kStages;
    arrive_expecting(&ring.full[stage],
                     kPlanted == PlantedInRing::FewerBytes ? T::kBBytes : T::kABytes + T::kBBytes);
    const int at[2] = {step * T::kInner, first_column};
    copy_tile<2>(ring.b(stage), q.w, at, &ring.full[stage]);
  };
  const int image_rows = p.ho * p.wo, n = first_row / image_rows, in_image = first_row % image_rows;
  const int h = in_image / p.wo * p.stride_h - p.top, w = in_image % p.wo * p.stride_w - p.left;
  int c = 0, r = 0, s = 0;
  const auto fetch_image = [&](int step) {
    const int stage = step % T::kStages;
    if (q.pixels_in_rows) {
      const int at[2] = {c, first_row};
      copy_tile<2>(ring.a(stage), q.x, at, &ring.full[stage]);
    } else {
      const bool moved = kPlanted != PlantedInRing::NoTapOffset;
      copy_pixels(ring.a(stage), q.x, c, w, h, n, moved ? s * p.dilation_w : 0, moved ? r * p.dilation_h : 0,
                  &ring.full[stage]);
    }
    c += T::kInner;
    if (c >= p.padded_c) {
      c = 0;
      if (++s == p.kw) s = 0, ++r;
    }
  };
  // Weights do not depend on the layer before.
  const int first = steps < T::kStages ? steps : T::kStages;
  for (int step = 0; step < first; ++step) fetch_weights(step);
  wait_for_previous();
  for (int step = 0; step < first; ++step) fetch_image(step);
  for (int step = first; step < steps; ++step) {
    const int round = step / T::kStages - (kPlanted == PlantedInRing::EmptyParity ? 0 : 1);
    if constexpr (kPlanted != PlantedInRing::NoWaitForEmpty)
      wait_phase(&ring.empty[step % T::kStages], round & 1);
    fetch_weights(step);
    fetch_image(step);
  }
}

// By a warpgroup: the sums of its 64 rows.
template <class T, bool kSigned, PlantedInRing kPlanted>
KVANT_DEVICE void multiply_ring(const Ring<T>& ring, int steps, int warpgroup,
                                Accumulator<T::kColumns>& sums) {
  const bool tells = (thread_index() & 31) == 0;
  for (int step = 0; step < steps; ++step) {
    const int stage = step % T::kStages;
    if constexpr (kPlanted != PlantedInRing::NoWaitForFull)
      wait_phase(&ring.full[stage], step / T::kStages & 1);
    if constexpr (kPlanted != PlantedInRing::NoFence) fence_products(sums);
    const uint64_t a = tile_descriptor<T::kInner>(ring.a(stage) + warpgroup * 64 * T::kInner);
    const uint64_t b = tile_descriptor<T::kInner>(ring.b(stage));
    KVANT_UNROLL
    for (int k = 0; k < T::kInner / 32; ++k) {
      const uint64_t along = static_cast<uint64_t>(kPlanted == PlantedInRing::SameDescriptor ? 0 : 2 * k);
      multiply_async<T::kColumns, kSigned>(sums, a + along, b + along);
    }
    commit_products();
    // The products of the step before are done, and so are its tiles.
    if constexpr (kPlanted == PlantedInRing::EarlyRelease) {
      if (tells) arrive(&ring.empty[stage]);
      continue;
    }
    wait_products<1>(sums);
    if (tells && step > 0) arrive(&ring.empty[(step - 1) % T::kStages]);
  }
  if constexpr (kPlanted != PlantedInRing::NoLastWait) wait_products<0>(sums);
}

// By a warp: its 16 rows, through shared memory so that neighbours write neighbouring channels.
template <class T, PlantedInRing kPlanted>
KVANT_DEVICE void finish_rows(const ConvParams& p, const Accumulator<T::kColumns>& sums, int* memory) {
  constexpr int kLanesOfRow = T::kColumns / 4 < 32 ? T::kColumns / 4 : 32, kRowsAtOnce = 32 / kLanesOfRow;
  const int lane = thread_index() & 31, first = (thread_index() >> 5) * 16;
  int* own = memory + first * T::kSumPitch;
  KVANT_UNROLL
  for (int j = 0; j < T::kColumns / 8; ++j) {
    KVANT_UNROLL
    for (int half = 0; half < 2; ++half) {
      const Pair pair{sum_of(sums, 4 * j + 2 * half), sum_of(sums, 4 * j + 2 * half + 1)};
      store(own + (lane / 4 + 8 * half) * T::kSumPitch + 8 * j + 2 * (lane & 3), pair);
    }
  }
  if constexpr (kPlanted != PlantedInRing::NoBarrierAfterSums) warp_barrier();
  const int64_t first_row = static_cast<int64_t>(block_x()) * T::kRows + first;
  const int64_t rows_left = static_cast<int64_t>(p.n) * p.ho * p.wo - first_row;
  int rows = rows_left < 16 ? static_cast<int>(rows_left) : 16;
  if constexpr (kPlanted == PlantedInRing::NoLastRowTest) rows = 16;
  const int first_column = static_cast<int>(block_y()) * T::kColumns;
  KVANT_NO_UNROLL
  for (int column = lane % kLanesOfRow * 4; column < T::kColumns; column += kLanesOfRow * 4) {
    const int left = p.group_k - first_column - column, channels = left > 4 ? 4 : left;
    if (channels <= 0) return;
    const ChannelConstants constants = channel_constants(p.epilogue, first_column + column, channels);
    for (int row = lane / kLanesOfRow; row < rows; row += kRowsAtOnce) {
      const Vector16 total = load<Vector16>(own + row * T::kSumPitch + column);
      const int four[4] = {total.x, total.y, total.z, total.w};
      finish_channels(p.epilogue, constants, first_row + row, first_column + column, channels, four);
    }
  }
}

// grid: x tiles of rows, y tiles of columns. Packed weights as in implicit_gemm.cuh, one group.
template <class T, PlantedInRing kPlanted = PlantedInRing::None>
KVANT_DEVICE void warpgroup_gemm(const WarpgroupConvParams& q) {
  uint8_t* shared = shared_memory();
  auto* barriers = reinterpret_cast<uint64_t*>(shared + T::kRingBytes);
  const Ring<T> ring{shared, barriers, barriers + T::kStages};
  const int tid = thread_index(), steps = q.conv.row_k / T::kInner;
  if (tid == T::kConsumers) {
    prefetch_map(q.x);
    prefetch_map(q.w);
    for (int i = 0; i < T::kStages; ++i) {
      init_mbarrier(&ring.full[i], 1);
      init_mbarrier(&ring.empty[i], T::kConsumers / 32);
    }
    if constexpr (kPlanted != PlantedInRing::NoPublish) publish_mbarriers();
  }
  if constexpr (kPlanted != PlantedInRing::NoFirstBarrier) barrier();
  if (tid >= T::kConsumers) {
    if (tid == T::kConsumers) fill_ring<T, kPlanted>(q, ring, steps);
    return;
  }
  Accumulator<T::kColumns> sums;
  clear(sums);
  if (q.x_signed != (kPlanted == PlantedInRing::OtherSign)) {
    multiply_ring<T, true, kPlanted>(ring, steps, tid / 128, sums);
  } else {
    multiply_ring<T, false, kPlanted>(ring, steps, tid / 128, sums);
  }
  wait_for_previous();
  let_next_start();
  if constexpr (kPlanted != PlantedInRing::NoBarrierBeforeSums) barrier_of(1, T::kConsumers);
  finish_rows<T, kPlanted>(q.conv, sums, reinterpret_cast<int*>(shared));
}

}  // namespace device
}  // namespace kvant::backends::cuda
