// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution: a thread has four channels of two neighbouring pixels of a row. Four columns of the
// image are transposed to one word a channel, so that dot4 takes four taps at once.
#pragma once

#include "backends/cuda/kernels/conv/conv_params.h"

namespace kvant::backends::cuda::device {

// Words a, b, c, d of four channels to words of four pixels.
KVANT_DEVICE void transpose4x4(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t (&o)[4]) {
  const uint32_t t0 = permute_bytes(a, b, 0x5140), t1 = permute_bytes(c, d, 0x5140);
  const uint32_t t2 = permute_bytes(a, b, 0x7362), t3 = permute_bytes(c, d, 0x7362);
  o[0] = permute_bytes(t0, t1, 0x5410);
  o[1] = permute_bytes(t0, t1, 0x7632);
  o[2] = permute_bytes(t2, t3, 0x5410);
  o[3] = permute_bytes(t2, t3, 0x7632);
}

// Taps of a row as bytes, moved up by kShift bytes: word `i` of the result.
template <int kShift, int kWords>
KVANT_DEVICE uint32_t shifted(const uint32_t (&w)[kWords], int i) {
  const uint32_t below = i > 0 ? w[i - 1] : 0, own = i < kWords ? w[i] : 0;
  if constexpr (kShift == 0) return own;
  return permute_bytes(below, own, kShift == 1 ? 0x6543 : 0x5432);
}

// A thread's pixels are 2 * pair and 2 * pair + 1 of a row; channels run fastest over threads. Packed
// weights: for each channel and row of the window kTapWords words of taps, zeros at the end. The vertical
// dilation is any, the horizontal one 1; channels, pitch and x are multiples of 4.
template <int kTaps, int kStride>
KVANT_DEVICE void depthwise(const ConvParams& p) {
  constexpr int kTapWords = (kTaps + 3) / 4, kColumns = kTaps + kStride, kWords = (kColumns + 3) / 4;
  const int quads = p.group / 4, pairs = (p.wo + 1) / 2;
  const int64_t item = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  const int64_t items = static_cast<int64_t>(p.n) * p.ho * pairs * quads;
  wait_for_previous();
  if (item >= items) return;
  const int channel = static_cast<int>(item % quads) * 4;
  const int64_t place = item / quads, row = place / pairs;
  const int column = static_cast<int>(place % pairs) * 2;
  const int image = static_cast<int>(row / p.ho), y = static_cast<int>(row % p.ho);
  const uint32_t padding = load_constant<uint32_t>(p.padding);
  int sums[2][4] = {};
  KVANT_NO_UNROLL
  for (int r = 0; r < p.kh; ++r) {
    const int h = y * p.stride_h - p.top + r * p.dilation_h;
    const bool inside = static_cast<unsigned>(h) < static_cast<unsigned>(p.h);
    const uint8_t* from = p.x + (static_cast<int64_t>(image) * p.h + h) * p.w_in * p.x_pitch + channel;
    uint32_t pixels[kWords * 4];
    KVANT_UNROLL
    for (int i = 0; i < kWords * 4; ++i) {
      const int w = column * kStride - p.left + i;
      const bool here = inside && static_cast<unsigned>(w) < static_cast<unsigned>(p.w_in);
      pixels[i] = 0;
      if (i < kColumns) pixels[i] = (here ? load<uint32_t>(from + w * p.x_pitch) : padding) ^ p.flip;
    }
    uint32_t columns[kWords][4];
    KVANT_UNROLL
    for (int i = 0; i < kWords; ++i)
      transpose4x4(pixels[4 * i], pixels[4 * i + 1], pixels[4 * i + 2], pixels[4 * i + 3], columns[i]);
    KVANT_UNROLL
    for (int c = 0; c < 4; ++c) {
      uint32_t taps[kTapWords];
      KVANT_UNROLL
      for (int i = 0; i < kTapWords; ++i)
        taps[i] = load_constant<uint32_t>(
            p.w + (static_cast<int64_t>(channel + c) * p.kh + r) * kTapWords * 4 + i * 4);
      KVANT_UNROLL
      for (int i = 0; i < kWords; ++i) {
        sums[0][c] = dot4(columns[i][c], shifted<0>(taps, i), sums[0][c]);
        sums[1][c] = dot4(columns[i][c], shifted<kStride>(taps, i), sums[1][c]);
      }
    }
  }
  let_next_start();
  const ChannelConstants constants = channel_constants(p.epilogue, channel, 4);
  const int64_t pixel = row * p.wo + column;
  finish_channels(p.epilogue, constants, pixel, channel, 4, sums[0]);
  if (column + 1 < p.wo) finish_channels(p.epilogue, constants, pixel + 1, channel, 4, sums[1]);
}

// Any convolution, one channel of one pixel a thread, channels fastest: for what no other kernel takes.
// Weights are as in the graph, [k][kh][kw][c / group].
KVANT_DEVICE void direct(const ConvParams& p) {
  const int channels = p.group * p.group_k;
  const int64_t item = static_cast<int64_t>(block_x()) * block_threads() + thread_index();
  const int64_t pixels = static_cast<int64_t>(p.n) * p.ho * p.wo;
  wait_for_previous();
  if (item >= pixels * channels) return;
  const int k = static_cast<int>(item % channels), group = k / p.group_k;
  const int64_t pixel = item / channels, image = pixel / (p.ho * p.wo);
  const int y = static_cast<int>(pixel / p.wo % p.ho), x = static_cast<int>(pixel % p.wo);
  const int flip = static_cast<int>(p.flip & 255);
  int sum = 0;
  for (int r = 0; r < p.kh; ++r) {
    const int h = y * p.stride_h - p.top + r * p.dilation_h;
    for (int s = 0; s < p.kw; ++s) {
      const int w = x * p.stride_w - p.left + s * p.dilation_w;
      const bool inside = static_cast<unsigned>(h) < static_cast<unsigned>(p.h) &&
                          static_cast<unsigned>(w) < static_cast<unsigned>(p.w_in);
      const uint8_t* from =
          p.x + ((image * p.h + h) * p.w_in + w) * p.x_pitch + static_cast<int64_t>(group) * p.group_c;
      const uint8_t* weights = p.w + ((static_cast<int64_t>(k) * p.kh + r) * p.kw + s) * p.group_c;
      for (int c = 0; c < p.group_c; ++c) {
        const int code = static_cast<int8_t>((inside ? from[c] : p.padding[0]) ^ flip);
        sum += code * static_cast<int8_t>(weights[c]);
      }
    }
  }
  const int sums[4] = {sum, 0, 0, 0};
  finish_channels(p.epilogue, channel_constants(p.epilogue, k, 1), pixel, k, 1, sums);
}

}  // namespace kvant::backends::cuda::device
