// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/lift_pair.h"
#include "formats/onnx/tensor_proto.h"
#include "tensor/quantize.h"

namespace kvant::formats {
namespace {

// The float bias of INT32 codes at scale x_scale * w_scale[k].
Tensor float_bias(const Tensor& codes, const Tensor& x_scale, const Tensor& w_scale,
                  const std::string& what) {
  if (codes.dtype() != DType::Int32) fail("{} has a bias of type {}, not i32", what, name(codes.dtype()));
  if (x_scale.size() != 1 || (w_scale.size() != 1 && w_scale.size() != codes.size())) {
    fail("{} has {} weight scales and {} biases", what, w_scale.size(), codes.size());
  }
  const float x = x_scale.to_floats()[0];
  const std::vector<float> w = w_scale.to_floats();
  Tensor result(DType::Float32, codes.shape());
  const auto in = codes.data<int32_t>();
  const auto out = result.mutable_data<float>();
  for (size_t k = 0; k < out.size(); ++k) out[k] = dequantize_value(in[k], x * w[w.size() == 1 ? 0 : k], 0);
  return result.cast(x_scale.dtype());
}

ir::ValueId bias_of(Importing& graph, ir::ValueId bias, ir::ValueId x_scale, ir::ValueId w_scale,
                    const std::string& what) {
  const Tensor* codes = graph.constant(bias);
  const Tensor* x = graph.constant(x_scale);
  const Tensor* w = graph.constant(w_scale);
  if (codes != nullptr && x != nullptr && w != nullptr)
    return graph.add_constant("bias", float_bias(*codes, *x, *w, what));
  return dequantized(graph, bias, graph.add("Mul", {x_scale, w_scale}), ir::kNone, 0, what);
}

}  // namespace

// x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale, y_zero_point, bias: Q(Conv(DQ(x), DQ(w),
// bias)).
void lift_qlinear_conv(Draft& node, Importing& graph) {
  const std::string what = "QLinearConv '" + node.name + "'";
  require_inputs(node, 8);
  const ir::ValueId x = dequantized(graph, node.inputs[0], node.inputs[1], node.inputs[2], 1, what);
  const ir::ValueId w = dequantized(graph, node.inputs[3], node.inputs[4], node.inputs[5], 0, what);
  std::vector<ir::ValueId> inputs = {x, w};
  if (node.has(8)) inputs.push_back(bias_of(graph, node.inputs[8], node.inputs[1], node.inputs[4], what));
  const ir::ValueId y = graph.add("Conv", std::move(inputs), node.attributes);
  const ir::ValueId scale = scalar_or_vector(graph, node.inputs[6], what);
  node.op = "QuantizeLinear";
  node.inputs = {y, scale, scalar_or_vector(graph, node.inputs[7], what)};
  node.attributes = {};
}

// The sum of (x - zx) * (w - zw) as int32. It is computed in FP32, exact below 2^24.
void lift_conv_integer(Draft& node, Importing& graph) {
  const std::string what = "ConvInteger '" + node.name + "'";
  require_inputs(node, 2);
  const ir::ValueId x = dequantized(graph, node.inputs[0], ir::kNone, node.input(2), 1, what);
  const ir::ValueId w = dequantized(graph, node.inputs[1], ir::kNone, node.input(3), 0, what);
  node.inputs = {graph.add("Conv", {x, w}, node.attributes)};
  node.op = "Cast";
  node.attributes = {{"to", static_cast<int64_t>(onnx_number(DType::Int32))}};
}

}  // namespace kvant::formats
