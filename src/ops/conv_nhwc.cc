// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/epilogue.h"
#include "ops/real_values.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_conv_nhwc(const ir::InferArgs& args) {
  for (size_t i = 0; i < args.inputs.size(); ++i)
    if (args.has(i) && args.inputs[i].dtype != DType::Float32)
      fail("ConvNhwc: input {} holds {}; f32 is needed", i, name(args.inputs[i].dtype));
  parse_activation(args.attributes());
  const auto shape = nhwc_convolution_shape("ConvNhwc", args.attributes(), args.inputs[0], args.inputs[1]);
  if (args.has(2) && args.inputs[1].shape)
    require_per_channel("ConvNhwc: bias", args.inputs[2].shape, (*args.inputs[1].shape)[0]);
  if (args.has(3)) check_residual("ConvNhwc", args.inputs[3], shape, false);
  return {{DType::Float32, shape}};
}

std::vector<Tensor> evaluate_conv_nhwc(const ir::EvalArgs& args) {
  require_nhwc("ConvNhwc", args.in(0).shape());
  const Tensor x = to_channels_first(args.in(0));
  NhwcResult y = convolve_nhwc("ConvNhwc", args.attributes(), x.shape(), to_doubles(x), args.in(1).shape(),
                               to_doubles(args.in(1)));
  return {finish_float("ConvNhwc", args, y.shape, y.values)};
}

std::vector<ir::AttributeDef> attributes_conv_nhwc() {
  auto result = convolution_attributes();
  const auto more = activation_attributes();
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

}  // namespace

ir::OpDef conv_nhwc() {
  return {.name = "ConvNhwc",
          .min_inputs = 2,
          .max_inputs = 4,
          .attributes = attributes_conv_nhwc(),
          .traits = ir::Trait::Internal,
          .infer = infer_conv_nhwc,
          .evaluate = evaluate_conv_nhwc};
}

}  // namespace kvant::ops
