// SPDX-License-Identifier: Apache-2.0
// Operators through which Q and DQ move without changing a bit (qdq-rules.md 2), and how each runs on codes.
#pragma once

#include "engine/passes/edit.h"

namespace kvant::engine {

// The data inputs of a node that only moves elements or picks the largest; empty for every other node.
std::vector<size_t> data_inputs(const ir::Graph& graph, const ir::Node& node);

// The node over codes with `params`: `inputs` are its inputs with codes in place of data. Nothing when a
// padding value has no exact code (then only Q may pass: `from_q`). Outputs have the node's types with the
// codes' dtype.
std::optional<ir::NodeId> on_codes(Edit& edit, ir::NodeId id, std::vector<ir::ValueId> inputs,
                                   const QuantParams& params, bool from_q);

}  // namespace kvant::engine
