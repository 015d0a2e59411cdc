// SPDX-License-Identifier: Apache-2.0
// Which constants of a graph are trained, and how.
#pragma once

#include <map>
#include <vector>

#include "ir/graph.h"
#include "train/plugin_abi.h"

namespace kvant::train {

// Weights of Conv, ConvTranspose, Gemm and MatMul (also behind Q/DQ, Transpose, Reshape): with weight decay.
// Biases, scales and offsets of normalizations, PRelu slopes, and vectors added to or multiplied with what a
// weighted operator made: without. Running statistics. Everything else (preprocessing, shapes, bounds) is
// fixed and absent here. Only nodes that `outputs` depend on count.
std::map<ir::ValueId, kvant_train_role> trained_constants(const ir::Graph& graph,
                                                          const std::vector<ir::ValueId>& outputs);

}  // namespace kvant::train
