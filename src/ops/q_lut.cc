// SPDX-License-Identifier: Apache-2.0
#include "ops/integer_operands.h"

namespace kvant::ops {
namespace {

void check_table(DType dtype, const std::optional<Shape>& shape) {
  if (dtype != DType::UInt8 && dtype != DType::Int8 && dtype != DType::Float32)
    fail("QLut: the table holds {}; u8, i8 or f32 is needed", name(dtype));
  if (shape && (shape->size() != 1 || ((*shape)[0] != 256 && (*shape)[0] != kUnknownDim)))
    fail("QLut: the table is {}; 256 entries are needed", to_string(*shape));
}

std::vector<ir::Type> infer_q_lut(const ir::InferArgs& args) {
  require_code_type("QLut", "x", args.inputs[0].dtype);
  check_table(args.inputs[1].dtype, args.inputs[1].shape);
  return {{args.inputs[1].dtype, args.inputs[0].shape}};
}

std::vector<Tensor> evaluate_q_lut(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &table = args.in(1);
  require_code_type("QLut", "x", x.dtype());
  check_table(table.dtype(), table.shape());
  Tensor y(table.dtype(), x.shape());
  const auto* bytes = reinterpret_cast<const uint8_t*>(x.raw());
  visit_dtype(table.dtype(), [&]<class T>() {
    const auto entries = table.data<T>();
    const auto out = y.mutable_data<T>();
    for (size_t i = 0; i < out.size(); ++i) out[i] = entries[bytes[i]];
  });
  return {y};
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
