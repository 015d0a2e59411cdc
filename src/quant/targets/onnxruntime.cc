// SPDX-License-Identifier: Apache-2.0
//
// onnxruntime's CPU kernels (QLinearConv, QGemm, QLinearAdd ...): input and result of one type, a Q behind
// every convolution, an int32 bias on the accumulator's scale.
#include "base/error.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "quant/targets/biases.h"
#include "quant/targets/least_bits.h"
#include "quant/targets/output_pairs.h"
#include "quant/targets/shift_codes.h"

namespace kvant::quant {

void to_onnxruntime(ir::Graph& graph, const ir::OpTable& ops, const TargetOptions& options,
                    TargetReport& report) {
  if (options.fp16) fail("FP16 parts are for the target tensorrt; onnxruntime's CPU kernels take float32");
  const int bits = least_bits(graph);
  const bool fewer = bits < 8;
  if (fewer && options.activations == DType::UInt8)
    fail("a model of {} bits keeps int8 codes: take --activations int8", bits);
  const DType wanted = options.activations.value_or(fewer ? DType::Int8 : DType::UInt8);
  report.shifted_tensors = wanted == DType::UInt8 ? shift_to_uint8(graph) : shift_to_int8(graph);
  ir::infer_types(graph, ops);
  add_output_pairs(graph, options.ranges, report);
  write_integer_biases(graph, report);
}

}  // namespace kvant::quant
