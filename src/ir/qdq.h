// SPDX-License-Identifier: Apache-2.0
// Reading and writing Q/DQ pairs, shared by quant, train, engine and compare. A pair is
//   source -> [Clip] -> QuantizeLinear -> DequantizeLinear -> result
// An integer constant behind a lone DequantizeLinear is a quantized tensor too.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "tensor/quantize.h"

namespace kvant::ir {

bool is_quantize(const Node& node);    // QuantizeLinear
bool is_dequantize(const Node& node);  // DequantizeLinear

// Scales, zero points, integer type and axis (normalized; one scale means per tensor) of a Q or DQ node.
// Nothing when the node is neither, its scale or zero point is not a constant, its axis cannot be told, or it
// is blocked.
std::optional<QuantParams> params_of(const Graph& graph, NodeId q_or_dq);

// Metadata key: the bits that a model was quantized to when fewer than 8 ("4"): the codes then live in an
// int8 tensor.
inline constexpr std::string_view kBitsKey = "kvant.bits";

// A quantized tensor as its float reader sees it.
struct Quantized {
  ValueId source = kNone;   // the float tensor, before a Clip too; kNone when only the codes exist
  NodeId clip = kNone;      // Clip that keeps the codes of fewer than 8 bits in range
  NodeId quantize = kNone;  // kNone when the codes are a constant or come from elsewhere
  NodeId dequantize = kNone;
  ValueId codes = kNone;   // what DQ reads
  ValueId result = kNone;  // what DQ makes
  QuantParams params;
  // Codes that occur: the type's range, narrowed by the Clip and, for constants (which carry none), by
  // kBitsKey.
  IntRange range{0, 0};
};

// The quantized tensor whose DQ makes `value`; nothing if no DQ does (or its parameters are not constant).
std::optional<Quantized> quantized_behind(const Graph& graph, ValueId value);
// All quantized forms of the float tensor `value`: one for each DQ that reads a Q of it.
std::vector<Quantized> quantized_forms(const Graph& graph, ValueId value);
// The float tensor behind a Q/DQ pair (before its Clip), or `value` itself when no pair makes it.
ValueId quantized_source(const Graph& graph, ValueId value);
// The constant behind `value`, looking through a Q/DQ pair, or nullptr.
const Tensor* quantized_constant(const Graph& graph, ValueId value);

// Appends a pair on `source` (Clip first, if `bits` < 8 and `source` is not a constant) and returns DQ's
// result; uses of `source` stay as they are. Nodes: <tensor>_QuantizeLinear, <tensor>_DequantizeLinear,
// <tensor>_Clip; the zero point is written out and of the scale's shape. Symmetric parameters only when
// `bits` < 8.
Quantized add_pair(Graph& graph, ValueId source, const QuantParams& params, int bits = 8);
// New parameters for an existing pair (or lone DQ): its scales, zero points and Clip bounds become new
// constants. Type and axis stay. Fails if the number of scales changes.
void set_params(Graph& graph, const Quantized& pair, const QuantParams& params);

}  // namespace kvant::ir
