// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx/draft.h"
#include "tensor/quantize.h"

namespace kvant::formats {

// A constant of INT32 codes behind DequantizeLinear (a bias) is the float constant that it stands for.
void lift_int32_constant(Draft& node, Importing& graph) {
  const Tensor* codes = graph.constant(node.input(0));
  const Tensor* scale = graph.constant(node.input(1));
  if (codes == nullptr || scale == nullptr || codes->dtype() != DType::Int32) return;
  if (node.has(2) && graph.constant(node.inputs[2]) == nullptr) return;
  if (scale->rank() > 1 || node.attributes.integer("block_size", 0) != 0) return;
  QuantParams params{.dtype = DType::Int32, .scale = scale->to_floats()};
  if (scale->size() != 1) params.axis = normalize_axis(node.attributes.integer("axis", 1), codes->rank());
  if (node.has(2)) {
    for (const int64_t z : graph.constant(node.inputs[2])->to_ints())
      params.zero_point.push_back(static_cast<int32_t>(z));
  }
  node.constant = dequantize(*codes, params).cast(scale->dtype());
}

}  // namespace kvant::formats
