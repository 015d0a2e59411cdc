// SPDX-License-Identifier: Apache-2.0
// Operators that took fewer element types, or did not exist.
#include <algorithm>
#include <array>

#include "ir/graph.h"

namespace kvant::formats {
namespace {

DType input_dtype(const ir::Graph& graph, ir::NodeId id, size_t index) {
  return graph.value(graph.node(id).inputs[index]).type.dtype;
}

template <size_t N>
bool one_of(DType dtype, const std::array<DType, N>& types) {
  return std::find(types.begin(), types.end(), dtype) != types.end();
}

bool has(const ir::Graph& graph, ir::NodeId id, size_t index) {
  const ir::Node& node = graph.node(id);
  return index < node.inputs.size() && node.inputs[index] != ir::kNone;
}

}  // namespace

bool unknown_before(ir::Graph&, ir::NodeId) { return false; }

bool small_integers(ir::Graph& graph, ir::NodeId id) {
  constexpr std::array small{DType::Int8, DType::UInt8, DType::Int16, DType::UInt16};
  return !one_of(input_dtype(graph, id, 0), small);
}

bool floats_only(ir::Graph& graph, ir::NodeId id) { return is_float(input_dtype(graph, id, 0)); }

bool wide_numbers(ir::Graph& graph, ir::NodeId id) {
  constexpr std::array wide{DType::Float32, DType::Float64, DType::Int32,
                            DType::Int64,   DType::UInt32,  DType::UInt64};
  return one_of(input_dtype(graph, id, 0), wide);
}

bool no_bools(ir::Graph& graph, ir::NodeId id) { return input_dtype(graph, id, 0) != DType::Bool; }

// Opset 21 added 16-bit codes and blocks.
bool quantization_of_bytes(ir::Graph& graph, ir::NodeId id) {
  const ir::Node& node = graph.node(id);
  if (node.attributes.integer("block_size", 0) != 0 || node.attributes.integer("output_dtype", 0) != 0)
    return false;
  constexpr std::array words{DType::Int16, DType::UInt16};
  const size_t codes = node.op == "QuantizeLinear" ? 2 : 0;
  if (has(graph, id, codes) && one_of(input_dtype(graph, id, codes), words)) return false;
  graph.attributes(id).erase("block_size");
  graph.attributes(id).erase("output_dtype");
  return true;
}

// Opset 19 added FP16 and bfloat16 scales.
bool quantization_in_float(ir::Graph& graph, ir::NodeId id) {
  graph.attributes(id).erase("saturate");
  return input_dtype(graph, id, 1) == DType::Float32;
}

}  // namespace kvant::formats
