// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/epilogue.h"
#include "ops/integer_operands.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_q_conv(const ir::InferArgs& args) {
  const ir::Type& x = args.inputs[0];
  ir::Type w = args.inputs[1];
  require_code_type("QConv", "x", x.dtype);
  if (w.dtype != DType::Int8) fail("QConv: w holds {}; i8 is needed", name(w.dtype));
  const Epilogue epilogue = parse_epilogue(args.attributes());
  require_nhwc("QConv", w.shape);
  if (w.shape) w.shape = to_channels_first(*w.shape);
  const auto shape = nhwc_convolution_shape("QConv", args.attributes(), x, w);
  const int64_t channels = w.shape ? (*w.shape)[0] : kUnknownDim;
  require_per_channel("QConv: multiplier", args.inputs[2].shape, channels);
  require_per_channel("QConv: bias", args.inputs[3].shape, channels);
  if (args.has(4)) check_residual("QConv", args.inputs[4], shape, true);
  return {{epilogue_type("QConv", epilogue, args), shape}};
}

std::vector<Tensor> evaluate_q_conv(const ir::EvalArgs& args) {
  require_nhwc("QConv", args.in(0).shape());
  require_nhwc("QConv", args.in(1).shape());
  const Epilogue epilogue = parse_epilogue(args.attributes());
  const Tensor x = to_channels_first(args.in(0)), w = to_channels_first(args.in(1));
  const int32_t x_zero_point = zero_point_attribute(args.attributes(), "x_zero_point");
  const NhwcResult acc = convolve_nhwc("QConv", args.attributes(), x.shape(), to_doubles(x, x_zero_point),
                                       w.shape(), to_doubles(w));
  return {through_table("QConv", args,
                        apply_epilogue(epilogue, acc.shape, acc.values, args.in(2), args.in(3),
                                       args.has(4) ? &args.in(4) : nullptr))};
}

std::vector<ir::AttributeDef> attributes_q_conv() {
  auto result = convolution_attributes();
  const auto more = epilogue_attributes();
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

}  // namespace

ir::OpDef q_conv() {
  return {.name = "QConv",
          .min_inputs = 4,
          .max_inputs = 6,
          .attributes = attributes_q_conv(),
          .traits = ir::Trait::Internal,
          .infer = infer_q_conv,
          .evaluate = evaluate_q_conv};
}

}  // namespace kvant::ops
