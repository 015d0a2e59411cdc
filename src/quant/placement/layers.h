// SPDX-License-Identifier: Apache-2.0
// Claims on single nodes, and what kind of layer a node is: shared by the families and by specs.
#pragma once

#include <string_view>

#include "quant/placement/sites.h"

namespace kvant::quant {

// Data and weight of a Conv or ConvTranspose; of a Gemm or MatMul.
void want_conv(Sites& sites, ir::NodeId id);
void want_linear(Sites& sites, ir::NodeId id);
// Conv, ConvTranspose, Gemm or MatMul whose weight is a constant (a pair on it does not matter).
bool has_weight(const Sites& sites, ir::NodeId id);

// A Conv with one input channel to each of its groups, and more than one group.
bool is_depthwise(const ir::Graph& graph, const ir::Node& node);
// GlobalAveragePool, or ReduceMean over the dimensions behind the second.
bool is_global_average(const ir::Graph& graph, const ir::Node& node);
// An Add or Mul of two tensors that are both computed, swish excepted: what the toolkit's layers of these
// names are.
bool joins_two(const ir::Graph& graph, const ir::Node& node);
// A batch norm that no Conv, ConvTranspose or Gemm before it can absorb.
bool is_own_norm(const ir::Graph& graph, const ir::Node& node);

// Whether the node is of the class that a spec names: an operator, or DepthwiseConv, Linear, Swish. Add and
// Mul are those of joins_two(); GlobalAveragePool includes its form as ReduceMean.
bool is_of_class(const Sites& sites, ir::NodeId id, std::string_view layer_class);

}  // namespace kvant::quant
