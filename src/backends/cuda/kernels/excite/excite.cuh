// SPDX-License-Identifier: Apache-2.0
// Squeeze and excite. A block has a slice of the channels of an image (or of a part of its pixels); it makes
// the hidden vector for itself and the gates of its slice. Shared memory: the averages of all channels, the
// hidden vector, the gates of the slice, then the sums of pooling.
#pragma once

#include "backends/cuda/kernels/epilogue.cuh"
#include "backends/cuda/kernels/excite/excite_params.h"

namespace kvant::backends::cuda::device {

constexpr int kExciteThreads = 256, kExciteWarps = kExciteThreads / 32;

KVANT_DEVICE int up_to_16(int value) { return (value + 15) / 16 * 16; }

// All outputs of the product of the codes in `from`, to `to`, both shared memory: a warp has four outputs.
// Codes beyond the last one meet weights of 0.
KVANT_DEVICE void excite_by_warps(const ExciteProduct& p, const uint8_t* from, uint8_t* to) {
  const int lane = thread_index() % 32;
  EpilogueParams e = p.epilogue;
  e.y = to;
  for (int first = thread_index() / 32 * 4; first < p.outputs; first += kExciteWarps * 4) {
    const int left = p.outputs - first, count = left < 4 ? left : 4;
    int sums[4] = {0, 0, 0, 0};
    for (int word = lane; word < p.row / 4; word += 32) {
      const uint32_t codes = load<uint32_t>(from + 4 * word) ^ p.flip;
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t output = first + (i < count ? i : 0);
        sums[i] = dot4(codes, load_constant<uint32_t>(p.w + output * p.row + 4 * word), sums[i]);
      }
    }
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) {
      for (int mask = 16; mask > 0; mask >>= 1) sums[i] += shuffle_xor(sums[i], mask);
    }
    if (lane == 0) finish_channels(e, channel_constants(e, first, count), 0, first, count, sums);
  }
}

// The same for the channels [begin, end), four a thread; results are stored from `to` on.
KVANT_DEVICE void excite_by_threads(const ExciteProduct& p, const uint8_t* from, int begin, int end,
                                    uint8_t* to) {
  EpilogueParams e = p.epilogue;
  e.y = to - begin;
  for (int first = begin + thread_index() * 4; first < end; first += kExciteThreads * 4) {
    int sums[4] = {0, 0, 0, 0};
    for (int word = 0; word < p.row / 4; ++word) {
      const uint32_t codes = load<uint32_t>(from + 4 * word) ^ p.flip;
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i)
        sums[i] =
            dot4(codes, load_constant<uint32_t>(p.w + static_cast<int64_t>(first + i) * p.row + 4 * word),
                 sums[i]);
    }
    finish_channels(e, channel_constants(e, first, 4), 0, first, 4, sums);
  }
}

KVANT_DEVICE int excite_code(uint32_t word, int i, bool is_signed) {
  const int bits = static_cast<int>(word >> (8 * i) & 255);
  return is_signed ? static_cast<int8_t>(bits) : bits;
}

// Channels [begin, end) of the pixels first_pixel, first_pixel + step ... of an image, by their gates.
KVANT_DEVICE void excite_scale(const ExciteParams& p, const uint8_t* x, uint8_t* y, const uint8_t* gates,
                               int begin, int end, int first_pixel, int step) {
  const int words = (end - begin) / 4;
  if (words <= 0) return;
  for (int item = first_pixel * words + thread_index();; item += kExciteThreads) {
    const int pixel = item / words, channel = begin + item % words * 4;
    if (pixel >= p.pixels || pixel >= first_pixel + step) return;
    const int64_t at = static_cast<int64_t>(pixel) * p.channels + channel;
    const uint32_t a = load<uint32_t>(x + at), b = load<uint32_t>(gates + channel - begin);
    uint32_t word = 0;
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) {
      const int product = (excite_code(a, i, p.scale.a_signed) - p.scale.a_zero_point) *
                          (excite_code(b, i, p.scale.b_signed) - p.scale.b_zero_point);
      const float v = multiply_rn(to_float(product), p.scale.a_multiplier);
      word |= static_cast<uint32_t>(code_of(p.scale.out, v) & 255) << (8 * i);
    }
    store<uint32_t>(y + at, word);
  }
}

// Averages of the channels [begin, end) over all pixels of an image, to `to`: the warps of the block share
// the pixels of 32 times four channels.
KVANT_DEVICE void excite_pool(const ExciteParams& p, const uint8_t* x, int begin, int end, uint8_t* to,
                              int* all) {
  const int lane = thread_index() % 32, warp = thread_index() / 32;
  const float factor = divide_rn(p.pool_multiplier, to_float(p.pixels));
  for (int first = begin; first < end; first += 128) {
    const int channel = first + lane * 4;
    int sums[4] = {0, 0, 0, 0};
    for (int pixel = warp; channel < end && pixel < p.pixels; pixel += kExciteWarps) {
      const auto word = load<uint32_t>(x + static_cast<int64_t>(pixel) * p.channels + channel);
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) sums[i] += excite_code(word, i, p.x_signed) - p.pool_zero_point;
    }
    KVANT_UNROLL
    for (int i = 0; i < 4; ++i) all[(warp * 4 + i) * 32 + lane] = sums[i];
    barrier();
    if (warp == 0 && channel < end) {
      uint32_t word = 0;
      KVANT_UNROLL
      for (int i = 0; i < 4; ++i) {
        int sum = 0;
        for (int other = 0; other < kExciteWarps; ++other) sum += all[(other * 4 + i) * 32 + lane];
        word |= static_cast<uint32_t>(code_of(p.pool_out, multiply_rn(to_float(sum), factor)) & 255)
                << (8 * i);
      }
      store<uint32_t>(to + channel - begin, word);
    }
    barrier();
  }
}

// grid: parts of the pixels, slices of channels, images. Averages were made before.
KVANT_DEVICE void excite_channels(const ExciteParams& p) {
  uint8_t* averages = shared_memory();
  uint8_t* hidden = averages + up_to_16(p.channels);
  uint8_t* gates = hidden + up_to_16(p.reduce.outputs);
  const auto image = static_cast<int64_t>(block_z());
  const int begin = static_cast<int>(block_y()) * p.slice;
  const int end = begin + p.slice < p.channels ? begin + p.slice : p.channels;
  const int parts = static_cast<int>(grid_x()), pixels = (p.pixels + parts - 1) / parts;
  wait_for_previous();
  for (int i = thread_index(); i < p.channels / 4; i += kExciteThreads)
    store(averages + 4 * i, load<uint32_t>(p.pooled + image * p.channels + 4 * i));
  barrier();
  excite_by_warps(p.reduce, averages, hidden);
  barrier();
  excite_by_threads(p.expand, hidden, begin, end, gates);
  barrier();
  let_next_start();
  const int64_t offset = image * p.pixels * p.channels;
  excite_scale(p, p.x + offset, p.y + offset, gates, begin, end, static_cast<int>(block_x()) * pixels,
               pixels);
}

// A cluster has an image, a block of it a slice of its channels.
KVANT_DEVICE void excite_cluster(const ExciteParams& p) {
  uint8_t* averages = shared_memory();
  uint8_t* own = averages + up_to_16(p.channels);
  uint8_t* hidden = own + p.slice;
  uint8_t* gates = hidden + up_to_16(p.reduce.outputs);
  auto* sums = reinterpret_cast<int*>(gates + p.slice);
  const auto image = static_cast<int64_t>(block_x());
  const int begin = static_cast<int>(cluster_rank()) * p.slice < p.channels
                        ? static_cast<int>(cluster_rank()) * p.slice
                        : p.channels;
  const int end = begin + p.slice < p.channels ? begin + p.slice : p.channels;
  const int64_t offset = image * p.pixels * p.channels;
  wait_for_previous();
  excite_pool(p, p.x + offset, begin, end, own, sums);
  cluster_barrier();
  for (int at = thread_index() * 16; at < p.channels; at += kExciteThreads * 16)
    store(averages + at, load_peer(own + at % p.slice, static_cast<unsigned>(at / p.slice)));
  cluster_barrier();  // nobody leaves while a peer reads
  excite_by_warps(p.reduce, averages, hidden);
  barrier();
  excite_by_threads(p.expand, hidden, begin, end, gates);
  barrier();
  let_next_start();
  excite_scale(p, p.x + offset, p.y + offset, gates, begin, end, 0, p.pixels);
}

}  // namespace kvant::backends::cuda::device
