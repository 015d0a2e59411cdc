// SPDX-License-Identifier: Apache-2.0
#include "ops/ops.h"
#include "ops/quantized_rows.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_softmax(const ir::InferArgs& args) { return {quantized_result_type(args)}; }

std::vector<Tensor> evaluate_q_softmax(const ir::EvalArgs& args) {
  return {quantized_result(args, standard().get("Softmax").evaluate(args)[0])};
}

}  // namespace

ir::OpDef q_softmax() {
  auto attributes = quantized_result_attributes();
  attributes.push_back({"axis", ir::AttributeKind::Integer});
  return {.name = "QSoftmax",
          .attributes = std::move(attributes),
          .traits = ir::Trait::Internal,
          .infer = infer_q_softmax,
          .evaluate = evaluate_q_softmax};
}

}  // namespace kvant::ops
