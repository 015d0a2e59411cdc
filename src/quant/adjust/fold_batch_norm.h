// SPDX-License-Identifier: Apache-2.0
// BatchNorm(Layer(x; w, b)) => Layer(x; g w, g (b - mean) + beta) with g = gamma / sqrt(var + epsilon), per
// output channel.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "ir/graph.h"

namespace kvant::quant {

// Folds every BatchNormalization (inference form) behind a Conv, ConvTranspose or Gemm whose result nobody
// else reads and whose weight and bias are constants, computed in double. A weight behind a Q/DQ pair with a
// scale per output channel is folded too: its scales are multiplied by |g|, so its codes stay what they were.
// A norm that cannot be folded stays, and so does one whose name is in `keep`. The layer's result takes the
// norm's name. Returns how many were folded.
size_t fold_batch_norm(ir::Graph& graph, const std::set<std::string>& keep = {});

}  // namespace kvant::quant
