// SPDX-License-Identifier: Apache-2.0
// Questions that several findings ask of a Q/DQ graph.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/qdq.h"

namespace kvant::quant {

// Whether the metadata says that the model has onnxruntime's form.
bool is_for_onnxruntime(const ir::Graph& graph);
// Whether it is of a target whose activations may be uint8 with any zero point.
bool takes_any_codes(const ir::Graph& graph);

// The pair or lone DQ behind input `index`, if there is one.
std::optional<ir::Quantized> pair_at(const ir::Graph& graph, const ir::Node& node, size_t index);
// Whether `value` holds codes' values: a DQ made it, or data movement of such tensors, which runs on codes.
bool is_quantized_tensor(const ir::Graph& graph, ir::ValueId value, int depth = 0);
// Conv, ConvTranspose, Gemm, MatMul with quantized data and weight.
bool is_integer_layer(const ir::Graph& graph, const ir::Node& node);
// Inputs of the operator that are tensors of the network: no constants, no shapes and indices.
std::vector<size_t> data_inputs_of(const ir::Graph& graph, const ir::Node& node);
// Whether every data input reads a pair with one scale.
bool reads_pairs_only(const ir::Graph& graph, const ir::Node& node);

// The tensor at the end of what fuses into the layer `id`: norms, activations, additions that alone read its
// result.
ir::ValueId epilogue_end(const ir::Graph& graph, ir::NodeId id);

// How a tensor is read: by Qs, and by others (graph outputs too).
struct Readers {
  std::vector<ir::NodeId> quantizers;
  std::vector<std::string> others;
};
Readers readers_of(const ir::Graph& graph, ir::ValueId value);

}  // namespace kvant::quant
