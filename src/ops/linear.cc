// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"
#include "ops/epilogue.h"
#include "ops/real_values.h"
#include "ops/rows.h"

namespace kvant::ops {
namespace {

std::vector<ir::Type> infer_linear(const ir::InferArgs& args) {
  for (size_t i = 0; i < args.inputs.size(); ++i)
    if (args.has(i) && args.inputs[i].dtype != DType::Float32)
      fail("Linear: input {} holds {}; f32 is needed", i, name(args.inputs[i].dtype));
  parse_activation(args.attributes());
  const auto shape = rows_shape("Linear", args.inputs[0].shape, args.inputs[1].shape);
  if (args.has(2) && args.inputs[1].shape)
    require_per_channel("Linear: bias", args.inputs[2].shape, (*args.inputs[1].shape)[0]);
  if (args.has(3)) check_residual("Linear", args.inputs[3], shape, false);
  return {{DType::Float32, shape}};
}

std::vector<Tensor> evaluate_linear(const ir::EvalArgs& args) {
  const Shape shape = *rows_shape("Linear", args.in(0).shape(), args.in(1).shape());
  auto y = multiply_rows_by_weight("Linear", args.in(0).shape(), to_doubles(args.in(0)), args.in(1).shape(),
                                   to_doubles(args.in(1)));
  return {finish_float("Linear", args, shape, y)};
}

}  // namespace

ir::OpDef linear() {
  return {.name = "Linear",
          .min_inputs = 2,
          .max_inputs = 4,
          .attributes = activation_attributes(),
          .traits = ir::Trait::Internal,
          .infer = infer_linear,
          .evaluate = evaluate_linear};
}

}  // namespace kvant::ops
