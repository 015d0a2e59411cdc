// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"
#include "ops/integer_operands.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_conv_integer(const ir::InferArgs& args) {
  require_code_type("ConvInteger", "x", args.inputs[0].dtype);
  require_code_type("ConvInteger", "w", args.inputs[1].dtype);
  return {
      {DType::Int32, convolution_shape("ConvInteger", args.attributes(), args.inputs[0], args.inputs[1])}};
}

std::vector<Tensor> evaluate_conv_integer(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &w = args.in(1);
  const ConvolutionPlan plan = plan_convolution("ConvInteger", args.attributes(), x.shape(), w.shape());
  const auto x_zero_point = zero_points(args, 2, "x_zero_point", x);
  const auto w_zero_points = zero_points(args, 3, "w_zero_point", w, plan.conv.out_channels);
  const int64_t filter = w.dim(1) * plan.conv.taps();
  const auto acc = convolve(plan.conv, to_doubles(x, x_zero_point[0]), centred(w, w_zero_points, filter));
  return {from_doubles(DType::Int32, plan.output, acc)};
}

}  // namespace

ir::OpDef conv_integer() {
  return {.name = "ConvInteger",
          .min_inputs = 2,
          .max_inputs = 4,
          .attributes = convolution_attributes(),
          .infer = infer_conv_integer,
          .evaluate = evaluate_conv_integer};
}

}  // namespace kvant::ops
