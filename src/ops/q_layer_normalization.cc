// SPDX-License-Identifier: Apache-2.0
#include "ops/ops.h"
#include "ops/quantized_rows.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_layer_normalization(const ir::InferArgs& args) {
  return {quantized_result_type(args)};
}

std::vector<Tensor> evaluate_q_layer_normalization(const ir::EvalArgs& args) {
  return {quantized_result(args, standard().get("LayerNormalization").evaluate(args)[0])};
}

}  // namespace

ir::OpDef q_layer_normalization() {
  using ir::AttributeKind;
  auto attributes = quantized_result_attributes();
  attributes.insert(attributes.end(), {{"axis", AttributeKind::Integer}, {"epsilon", AttributeKind::Real}});
  return {.name = "QLayerNormalization",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = std::move(attributes),
          .traits = ir::Trait::Internal,
          .infer = infer_q_layer_normalization,
          .evaluate = evaluate_q_layer_normalization};
}

}  // namespace kvant::ops
