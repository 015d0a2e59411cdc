// SPDX-License-Identifier: Apache-2.0
//
// TensorRT's explicit quantization: int8 around zero, activations per tensor, float biases, no pair between a
// weighted layer and what fuses into it. What its importer refuses is refused here, with the node.
#include "base/error.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "quant/targets/biases.h"
#include "quant/targets/half.h"
#include "quant/targets/output_pairs.h"
#include "quant/targets/shift_codes.h"

namespace kvant::quant {
namespace {

using ir::Graph;
using ir::kNone;
using ir::Node;
using ir::NodeId;

// Whether the codes of Q or DQ come from a constant: the only ones that may have a scale for each channel.
bool is_of_constant(const Graph& graph, const Node& node) {
  ir::ValueId value = node.inputs[0];
  for (int steps = 0; steps < 16 && value != kNone; ++steps) {
    if (graph.is_constant(value)) return true;
    const Node* producer = graph.producer(value);
    if (producer == nullptr || producer->inputs.empty()) return false;
    value = producer->inputs[0];
  }
  return false;
}

void check_zero_points(const Node& node, const QuantParams& params) {
  for (size_t i = 0; i < params.scale.size(); ++i) {
    const int32_t zero = params.zero_point_at(i);
    if (zero == 0) continue;
    fail(
        "{} '{}' has the zero point {}: TensorRT quantizes symmetrically only; quantize the model again with "
        "--target tensorrt",
        node.op, node.name, zero);
  }
}

void check_pair_node(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.attributes.integer("block_size", 0) != 0) {
    fail("{} '{}' has a scale for each block: TensorRT takes those for INT4, FP8 and FP4 only", node.op,
         node.name);
  }
  const auto params = ir::params_of(graph, id);
  if (!params) {
    fail(
        "{} '{}': the shape of its scale or zero point is none that TensorRT takes (a scalar, or one element "
        "for "
        "each channel)",
        node.op, node.name);
  }
  if (params->dtype != DType::Int8) {
    const char* what =
        params->dtype == DType::UInt8 ? " (only zero point 128 can be rewritten as int8 exactly)" : "";
    fail(
        "{} '{}' holds {} codes with the zero point {}: TensorRT takes int8{}; quantize the model again with "
        "--target tensorrt",
        node.op, node.name, name(params->dtype), params->zero_point_at(0), what);
  }
  check_zero_points(node, *params);
  if (!params->per_tensor() && !is_of_constant(graph, node)) {
    fail(
        "{} '{}' has {} scales for an activation: TensorRT takes one scale for an activation, more for "
        "weights only",
        node.op, node.name, params->scale.size());
  }
}

// INT8 convolutions need their channels at build time.
void check_convolution(const Graph& graph, const Node& node) {
  if (node.op != "Conv" && node.op != "ConvTranspose") return;
  if (!ir::quantized_behind(graph, node.inputs[0])) return;
  const auto& shape = graph.value(node.inputs[0]).type.shape;
  if (shape && shape->size() >= 2 && (*shape)[1] == kUnknownDim) {
    fail(
        "{} '{}' reads int8 with a number of channels that is not fixed: TensorRT needs it when it builds; "
        "give the "
        "model's input a fixed channel dimension",
        node.op, node.name);
  }
}

void check(const Graph& graph) {
  for (const NodeId id : graph.topological_order()) {
    const Node& node = graph.node(id);
    if (node.op == "DynamicQuantizeLinear") {
      fail("{} '{}': TensorRT has no dynamic quantization; calibrate the float model instead", node.op,
           node.name);
    }
    if (ir::is_quantize(node) || ir::is_dequantize(node)) check_pair_node(graph, id);
    check_convolution(graph, node);
  }
}

}  // namespace

void to_tensorrt(Graph& graph, const ir::OpTable& ops, const TargetOptions& options, TargetReport& report) {
  report.shifted_tensors = shift_to_int8(graph);
  ir::infer_types(graph, ops);
  write_float_biases(graph, report);
  if (options.drop_output_pairs) drop_output_pairs(graph, report);
  check(graph);
  if (options.fp16) to_half(graph, ops, report);
}

}  // namespace kvant::quant
