// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/epilogue.h"
#include "ops/integer_operands.h"
#include "ops/panel_product.h"
#include "ops/real_values.h"
#include "ops/rows.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_gemm(const ir::InferArgs& args) {
  require_code_type("QGemm", "x", args.inputs[0].dtype);
  if (args.inputs[1].dtype != DType::Int8)
    fail("QGemm: w holds {}; i8 is needed", name(args.inputs[1].dtype));
  const Epilogue epilogue = parse_epilogue(args.attributes());
  const auto shape = rows_shape("QGemm", args.inputs[0].shape, args.inputs[1].shape);
  const int64_t channels = args.inputs[1].shape ? (*args.inputs[1].shape)[0] : kUnknownDim;
  require_per_channel("QGemm: multiplier", args.inputs[2].shape, channels);
  require_per_channel("QGemm: bias", args.inputs[3].shape, channels);
  if (args.has(4)) check_residual("QGemm", args.inputs[4], shape, true);
  return {{epilogue_type("QGemm", epilogue, args), shape}};
}

std::vector<Tensor> evaluate_q_gemm(const ir::EvalArgs& args) {
  const Epilogue epilogue = parse_epilogue(args.attributes());
  const int32_t x_zero_point = zero_point_attribute(args.attributes(), "x_zero_point");
  const auto acc = multiply_rows_by_weight("QGemm", args.in(0).shape(), to_doubles(args.in(0), x_zero_point),
                                           args.in(1).shape(), to_doubles(args.in(1)));
  const Shape shape = *rows_shape("QGemm", args.in(0).shape(), args.in(1).shape());
  return {through_table(
      "QGemm", args,
      apply_epilogue(epilogue, shape, acc, args.in(2), args.in(3), args.has(4) ? &args.in(4) : nullptr))};
}

}  // namespace

ir::OpDef q_gemm() {
  return {.name = "QGemm",
          .min_inputs = 4,
          .max_inputs = 6,
          .attributes = epilogue_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_gemm,
          .evaluate = evaluate_q_gemm};
}

}  // namespace kvant::ops
