// SPDX-License-Identifier: Apache-2.0
// The bits of a model's codes, as its metadata tells them.
#pragma once

#include "ir/graph.h"

namespace kvant::quant {

// The fewest that the model or one of its constants has (ir::kBitsKey, "kvant.bits:<constant>"); 8 where
// neither says anything.
int least_bits(const ir::Graph& graph);

}  // namespace kvant::quant
