// SPDX-License-Identifier: Apache-2.0
// A quantized model with only some of its layers quantized: what every choice between precisions is made of.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace kvant::choose {

// Nodes that compute on quantized tensors, in topological order: weighted layers, additions, pools ... not
// data movement, which takes the precision of its neighbours. Nodes without a name are left out.
std::vector<std::string> quantized_layers(const ir::Graph& qdq);

// Every other node reads what its pairs were made of: float tensors and weights. Pairs keep their scales.
// Data movement stays on codes where all that read its result do. Weights of which only the codes exist
// become the float constants of these codes.
void keep_layers(ir::Graph& qdq, const std::set<std::string>& names);

}  // namespace kvant::choose
