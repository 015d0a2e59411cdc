// SPDX-License-Identifier: Apache-2.0
// Older opsets on the way out.
#pragma once

#include "ir/graph.h"

namespace kvant::formats {

// The least opset, at least `wish`, that holds every node of a typed graph.
int least_opset(const ir::Graph& graph, int wish);
// Gives every node the form that it has in `opset`, which is least_opset() or more. No graph for the rest of
// kvant.
void downgrade(ir::Graph& graph, int opset);

// The IR version that goes with an opset.
int ir_version_of(int opset);

}  // namespace kvant::formats
