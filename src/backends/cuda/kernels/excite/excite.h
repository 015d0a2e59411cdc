// SPDX-License-Identifier: Apache-2.0
// Squeeze and excite: channels scaled by what two small products make of their averages (QSqueezeExcite). One
// kernel where a cluster has an image, else a pool and one kernel whose blocks all repeat the products.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "backends/cuda/kernels/conv/conv.h"
#include "backends/cuda/kernels/elementwise/elementwise.h"
#include "backends/cuda/kernels/pool/pool.h"

namespace kvant::backends::cuda {

struct ExciteDesc {
  PoolDesc pool;            // of x, over the whole image
  ConvDesc reduce, expand;  // 1x1 of one pixel, group 1, to codes, without residual
  CodePairDesc scale;       // a: x, b: what `expand` gives
};

// Empty when it can be run, else why not. Channels of x are a multiple of 4.
std::string why_not_excite(const ExciteDesc& desc);
// "cluster8" (from capability 9.0 on), "two": the likely best first.
std::vector<std::string> excite_tactics(const ExciteDesc& desc, int sm, std::string& why);

// Weights and the rest of `desc.reduce` or `desc.expand` as both tactics read them; at multiples of 256.
size_t excite_packed_bytes(const ConvDesc& product);
void pack_excite(const ConvDesc& product, const ConvWeights& weights, std::byte* packed);

struct ExcitePointers {
  const void *reduce = nullptr, *expand = nullptr;  // packed
  const void* x = nullptr;
  void* pooled = nullptr;  // room for the averages of tactic "two", one byte for each image and channel
  void* y = nullptr;
};
std::vector<Launch> excite_launches(const ExciteDesc& desc, std::string_view tactic,
                                    const ExcitePointers& pointers);

}  // namespace kvant::backends::cuda
