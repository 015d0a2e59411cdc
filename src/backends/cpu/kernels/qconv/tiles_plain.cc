// SPDX-License-Identifier: Apache-2.0
// Tiles in plain C++, for any CPU.
#include <cstring>

#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {
namespace {

constexpr int kLanes = 16;

int same_channel(int, int lane) { return lane; }

void finish_pixel(const TileArgs& a, const int32_t* acc, int64_t pixel) {
  const Epilogue& e = *a.epilogue;
  const uint8_t* residual = a.residual == nullptr ? nullptr : a.residual + pixel * a.residual_stride;
  for (int64_t i = 0; i < a.channels; ++i) {
    finish(e, epilogue_value(e, acc[i], a.multiplier[i], a.bias[i], residual, i), a.y + pixel * a.y_stride,
           i);
  }
}

template <int pixels>
void tile(const TileArgs& a) {
  int32_t acc[pixels][kLanes];
  for (int p = 0; p < pixels; ++p) {
    for (int lane = 0; lane < kLanes; ++lane) acc[p][lane] = a.start[lane];
  }
  const int16_t* w = reinterpret_cast<const int16_t*>(a.w);
  for (int64_t i = 0; i < a.segment_rows; ++i) {
    for (int64_t j = 0; j < a.segment_columns; ++j) {
      const std::byte* segment = a.x + i * a.row_step + j * a.column_step;
      for (int64_t k = 0; k < a.dwords; ++k, w += 2 * kLanes) {
        for (int p = 0; p < pixels; ++p) {
          // Both codes in one word: from two loads GCC 12 makes a strided group over the pixels and reads
          // pixels that are not there.
          int32_t pair;
          std::memcpy(&pair, segment + p * a.pixel_stride + 4 * k, sizeof pair);
          const int first = static_cast<int16_t>(pair), second = pair >> 16;
          for (int lane = 0; lane < kLanes; ++lane)
            acc[p][lane] += first * w[2 * lane] + second * w[2 * lane + 1];
        }
      }
    }
  }
  for (int p = 0; p < pixels; ++p) finish_pixel(a, acc[p], p);
}

void depthwise_row(const DepthwiseArgs& a) {
  for (int64_t p = 0; p < a.pixels; ++p) {
    int32_t acc[kLanes];
    for (int lane = 0; lane < kLanes; ++lane) acc[lane] = a.out.start[lane];
    const int16_t* w = reinterpret_cast<const int16_t*>(a.out.w);
    for (int64_t t = 0; t < a.tap_groups; ++t, w += kLanes) {
      const int16_t* x = reinterpret_cast<const int16_t*>(a.x + p * a.pixel_stride + a.taps[t]);
      for (int64_t i = 0; i < a.out.channels; ++i) acc[i] += x[i] * w[i];
    }
    finish_pixel(a.out, acc, p);
  }
}

}  // namespace

void look_up_plain(const CodeTable& table, uint8_t* y, int64_t stride, int64_t pixels, int64_t channels) {
  for (int64_t p = 0; p < pixels; ++p, y += stride) {
    for (int64_t i = 0; i < channels; ++i) y[i] = table[y[i]];
  }
}

const DenseTiles kTiles4x16Plain = {
    2, 1, {{kLanes, 4, {nullptr, tile<1>, tile<2>, tile<3>, tile<4>}}, {}, {}}, same_channel};
const DepthwiseTiles kDepthwisePlain = {2, kLanes, 1, depthwise_row, same_channel};

}  // namespace kvant::backends::cpu
