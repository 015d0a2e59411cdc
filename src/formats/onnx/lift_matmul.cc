// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/lift_pair.h"
#include "formats/onnx/tensor_proto.h"

namespace kvant::formats {

// a, a_scale, a_zero_point, b, b_scale, b_zero_point, y_scale, y_zero_point: Q(MatMul(DQ(a), DQ(b))). Vectors
// are one number for each row of a, for each column of b.
void lift_qlinear_matmul(Draft& node, Importing& graph) {
  const std::string what = "QLinearMatMul '" + node.name + "'";
  require_inputs(node, 8);
  const ir::ValueId a = dequantized(graph, node.inputs[0], node.inputs[1], node.inputs[2], -2, what);
  const ir::ValueId b = dequantized(graph, node.inputs[3], node.inputs[4], node.inputs[5], -1, what);
  const ir::ValueId y = graph.add("MatMul", {a, b});
  const ir::ValueId scale = scalar_or_vector(graph, node.inputs[6], what);
  node.op = "QuantizeLinear";
  node.inputs = {y, scale, scalar_or_vector(graph, node.inputs[7], what)};
  node.attributes = {};
}

// The sum of (a - za) * (b - zb) as int32. It is computed in FP32, exact below 2^24.
void lift_matmul_integer(Draft& node, Importing& graph) {
  const std::string what = "MatMulInteger '" + node.name + "'";
  require_inputs(node, 2);
  const ir::ValueId a = dequantized(graph, node.inputs[0], ir::kNone, node.input(2), -2, what);
  const ir::ValueId b = dequantized(graph, node.inputs[1], ir::kNone, node.input(3), -1, what);
  node.inputs = {graph.add("MatMul", {a, b})};
  node.op = "Cast";
  node.attributes = {{"to", static_cast<int64_t>(onnx_number(DType::Int32))}};
}

}  // namespace kvant::formats
