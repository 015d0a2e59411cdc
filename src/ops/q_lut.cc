// SPDX-License-Identifier: Apache-2.0
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_lut(const ir::InferArgs& args) {
  require_code_type("QLut", "x", args.inputs[0].dtype);
  require_table("QLut", args.inputs[1].dtype, args.inputs[1].shape, true);
  return {{args.inputs[1].dtype, args.inputs[0].shape}};
}

std::vector<Tensor> evaluate_q_lut(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &table = args.in(1);
  require_code_type("QLut", "x", x.dtype());
  require_table("QLut", table.dtype(), table.shape(), true);
  return {look_up(x, table)};
}

}  // namespace

ir::OpDef q_lut() {
  return {.name = "QLut",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Internal | ir::Trait::Elementwise,
          .infer = infer_q_lut,
          .evaluate = evaluate_q_lut};
}

}  // namespace kvant::ops
