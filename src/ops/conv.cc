// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

std::vector<Type> infer_conv(const ir::InferArgs& args) {
  const Type &x = args.inputs[0], &w = args.inputs[1];
  require_dtype("Conv", DTypes::Floats, x.dtype);
  require_same_dtype("Conv", x.dtype, w.dtype);
  const auto shape = convolution_shape("Conv", args.attributes(), x, w);
  if (args.has(2)) {
    require_same_dtype("Conv", x.dtype, args.inputs[2].dtype);
    require_per_channel("Conv: the bias", args.inputs[2].shape, w.shape ? (*w.shape)[0] : kUnknownDim);
  }
  return {{x.dtype, shape}};
}

std::vector<Tensor> evaluate_conv(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &w = args.in(1);
  const ConvolutionPlan plan = plan_convolution("Conv", args.attributes(), x.shape(), w.shape());
  std::vector<double> y = convolve(plan.conv, to_doubles(x), to_doubles(w));
  if (args.has(2)) {
    require_per_channel("Conv: the bias", args.in(2).shape(), plan.conv.out_channels);
    add_bias(y, plan.conv, to_doubles(args.in(2)));
  }
  return {from_doubles(x.dtype(), plan.output, y)};
}

}  // namespace

ir::OpDef conv() {
  return {.name = "Conv",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = convolution_attributes(),
          .traits = ir::Trait::Weighted,
          .infer = infer_conv,
          .evaluate = evaluate_conv};
}

}  // namespace kvant::ops
