// SPDX-License-Identifier: Apache-2.0
// The packed constants of a convolution, whatever its driver: the weights of all blocks, then what sums start
// with, multipliers and biases by lane.
#pragma once

#include "backends/cpu/kernels/qconv/tiles.h"

namespace kvant::backends::cpu {

struct PackedLayout {
  int64_t weight_bytes = 0, lanes = 0;

  size_t start() const { return static_cast<size_t>(weight_bytes); }
  size_t multiplier() const { return start() + static_cast<size_t>(lanes) * 4; }
  size_t bias() const { return multiplier() + static_cast<size_t>(lanes) * 4; }
  size_t end() const { return bias() + static_cast<size_t>(lanes) * 4; }

  void write_lane(std::byte* packed, int64_t lane, int32_t start_value, float multiplier_value,
                  float bias_value) const {
    reinterpret_cast<int32_t*>(packed + start())[lane] = start_value;
    reinterpret_cast<float*>(packed + multiplier())[lane] = multiplier_value;
    reinterpret_cast<float*>(packed + bias())[lane] = bias_value;
  }
  // What a tile reads of the block whose weights and lanes begin there.
  void point_at(TileArgs& args, const std::byte* packed, int64_t weight_offset, int64_t lane_offset) const {
    args.w = packed + weight_offset;
    args.start = reinterpret_cast<const int32_t*>(packed + start()) + lane_offset;
    args.multiplier = reinterpret_cast<const float*>(packed + multiplier()) + lane_offset;
    args.bias = reinterpret_cast<const float*>(packed + bias()) + lane_offset;
  }
};

// Depthwise: equal blocks of channels.
struct ChannelBlocks : PackedLayout {
  int64_t block_lanes, blocks, block_bytes;

  ChannelBlocks(int64_t channels, int64_t lanes_of_block, int64_t bytes_of_block)
      : block_lanes(lanes_of_block),
        blocks((channels + lanes_of_block - 1) / lanes_of_block),
        block_bytes(bytes_of_block) {
    weight_bytes = blocks * block_bytes;
    lanes = blocks * block_lanes;
  }
  // Everything of `args` that depends on the block; `pixel` is the first of the row's results.
  void point_at_block(TileArgs& args, const QConvDesc& desc, const QConvPointers& p, int64_t block,
                      int64_t pixel) const {
    const int64_t channel = block * block_lanes;
    point_at(args, p.packed, block * block_bytes, channel);
    args.channels = desc.shape.c - channel < block_lanes ? desc.shape.c - channel : block_lanes;
    args.y = p.y + pixel * args.y_stride + channel * code_bytes(desc.epilogue.output);
    if (p.residual != nullptr) {
      args.residual =
          p.residual + pixel * args.residual_stride + channel * code_bytes(desc.epilogue.residual);
    }
  }
};

// Of the codes as kernels read them: i8 as u8 with 128 more.
inline int32_t unsigned_zero_point(const QConvDesc& desc) {
  return desc.x_zero_point + (desc.x_signed ? 128 : 0);
}

}  // namespace kvant::backends::cpu
