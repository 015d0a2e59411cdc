// SPDX-License-Identifier: Apache-2.0
// The ways to run a convolution, what each can take, and what it is expected to cost.
#pragma once

#include <span>
#include <string>

#include "backends/cuda/kernels/conv/conv.h"

namespace kvant::backends::cuda {

struct ConvTactic {
  enum class Kind { Tile, Stem, Depthwise, Direct, Warpgroup };
  std::string name, kernel;
  Kind kind = Kind::Direct;
  int minimum_sm = 80, maximum_sm = 999;
  int threads = 128, shared_bytes = 0, cluster = 1;
  int split = 1;  // blocks that share a tile through global memory
  int rows = 1, columns = 1, inner = 1, stages = 1, blocks_of_sm = 4;  // of a tile
  int copy_bytes = 1;                                                  // 16, 8, 4, 1
  int taps = 0, stride = 0;                                            // of a depthwise window
};

std::span<const ConvTactic> all_conv_tactics();
// "" when the tactic can run it.
std::string why_not(const ConvDesc& desc, const ConvTactic& tactic);
// By a model of an A100 (sm 80) or H100 (sm 90): waves of blocks, tensor-core and copy rates, latencies. Only
// the order matters; the autotuner measures.
double estimated_microseconds(const ConvDesc& desc, const ConvTactic& tactic, int sm);
// Tiles of a tactic that has tiles.
int64_t tiles_of(const ConvShape& shape, const ConvTactic& tactic);
// Threads that have work, for tactics without tiles.
int64_t thread_items(const ConvShape& shape, const ConvTactic& tactic);
// Name of the epilogue's activation.
std::string name_of(const Epilogue& epilogue);

}  // namespace kvant::backends::cuda
