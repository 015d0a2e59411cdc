// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"
#include "ops/integer_operands.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"
#include "tensor/quantize.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_q_linear_conv(const ir::InferArgs& args) {
  require_code_type("QLinearConv", "x", args.inputs[0].dtype);
  require_code_type("QLinearConv", "w", args.inputs[3].dtype);
  require_code_type("QLinearConv", "y_zero_point", args.inputs[7].dtype);
  return {{args.inputs[7].dtype,
           convolution_shape("QLinearConv", args.attributes(), args.inputs[0], args.inputs[3])}};
}

std::vector<double> accumulate(const ir::EvalArgs& args, const ConvolutionPlan& plan) {
  const Tensor &x = args.in(0), &w = args.in(3);
  const auto x_zero_point = zero_points(args, 2, "x_zero_point", x);
  const auto w_zero_points = zero_points(args, 5, "w_zero_point", w, plan.conv.out_channels);
  auto acc = convolve(plan.conv, to_doubles(x, x_zero_point[0]),
                      centred(w, w_zero_points, w.dim(1) * plan.conv.taps()));
  if (args.has(8)) {
    if (args.in(8).dtype() != DType::Int32)
      fail("QLinearConv: the bias holds {}; i32 is needed", name(args.in(8).dtype()));
    require_per_channel("QLinearConv: the bias", args.in(8).shape(), plan.conv.out_channels);
    add_bias(acc, plan.conv, to_doubles(args.in(8)));
  }
  return acc;
}

std::vector<Tensor> evaluate_q_linear_conv(const ir::EvalArgs& args) {
  const ConvolutionPlan plan =
      plan_convolution("QLinearConv", args.attributes(), args.in(0).shape(), args.in(3).shape());
  const auto acc = accumulate(args, plan);
  const float x_scale = scales(args, 1, "x_scale")[0], y_scale = scales(args, 6, "y_scale")[0];
  const auto w_scale = scales(args, 4, "w_scale", plan.conv.out_channels);
  const DType dtype = args.in(7).dtype();
  require_code_type("QLinearConv", "y_zero_point", dtype);
  if (args.in(7).size() != 1) fail("QLinearConv: y_zero_point must be one value");
  const auto y_zero_point = static_cast<int32_t>(args.in(7).to_ints()[0]);
  Tensor codes(DType::Int32, plan.output);
  const auto out = codes.mutable_data<int32_t>();
  const size_t plane = static_cast<size_t>(plan.conv.output_plane());
  for (size_t i = 0; i < out.size(); ++i) {
    const double product = static_cast<double>(x_scale) * w_scale[i / plane % w_scale.size()];
    const float multiplier = static_cast<float>(product / y_scale);
    const auto total = static_cast<int32_t>(static_cast<int64_t>(acc[i]));
    out[i] = requantize(total, multiplier, 0.0f, y_zero_point, code_range(dtype));
  }
  return {codes.cast(dtype)};
}

}  // namespace

ir::OpDef q_linear_conv() {
  return {.name = "QLinearConv",
          .min_inputs = 8,
          .max_inputs = 9,
          .attributes = convolution_attributes(),
          .infer = infer_q_linear_conv,
          .evaluate = evaluate_q_linear_conv};
}

}  // namespace kvant::ops
