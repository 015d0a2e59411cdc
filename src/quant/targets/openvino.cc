// SPDX-License-Identifier: Apache-2.0
//
// OpenVINO's low precision transformations: u8 or i8 activations with any zero point, i8 weights around zero,
// layers dequantize behind themselves, so no pair behind them is needed.
#include "base/error.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "quant/targets/biases.h"
#include "quant/targets/output_pairs.h"
#include "quant/targets/shift_codes.h"

namespace kvant::quant {

void to_openvino(ir::Graph& graph, const ir::OpTable& ops, const TargetOptions& options,
                 TargetReport& report) {
  if (options.fp16) fail("FP16 parts are for the target tensorrt; OpenVINO chooses its float type itself");
  report.shifted_tensors = shift_to_int8(graph);
  ir::infer_types(graph, ops);
  write_float_biases(graph, report);
  if (options.drop_output_pairs) drop_output_pairs(graph, report);
  for (const ir::NodeId id : graph.topological_order()) {
    const ir::Node& node = graph.node(id);
    if (node.op != "Conv" && node.op != "ConvTranspose" && node.op != "Gemm" && node.op != "MatMul") continue;
    const auto weight = ir::quantized_behind(graph, node.inputs[1]);
    if (!weight || (!graph.is_constant(weight->codes) && !graph.is_constant(weight->source))) continue;
    if (weight->params.dtype != DType::Int8 || !weight->params.zero_point.empty()) {
      fail(
          "{} '{}': its weight is {} with a zero point; OpenVINO computes with int8 weights around zero: "
          "quantize the weight symmetrically",
          node.op, node.name, name(weight->params.dtype));
    }
  }
}

}  // namespace kvant::quant
