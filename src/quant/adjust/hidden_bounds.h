// SPDX-License-Identifier: Apache-2.0
// Min(x, constant) before a quantizer that saturates there already.
#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace kvant::quant {

// Takes out every Min of a value and a constant whose result only quantizers read, where each bound has the
// quantizer's highest code: Q(min(x, b)) = Q(x) for all x then, bit for bit. Returns the names of the nodes.
std::vector<std::string> drop_hidden_bounds(ir::Graph& graph);

}  // namespace kvant::quant
