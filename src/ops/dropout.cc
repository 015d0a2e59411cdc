// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Whether input i is given and not 0.
bool is_set(const ir::EvalArgs& args, size_t i) {
  return args.has(i) && args.in(i).cast(DType::Bool) != Tensor(DType::Bool, args.in(i).shape());
}

}  // namespace

// At inference the input as it is; the mask, when asked for, is all true. Training mode is refused, unless
// its ratio is 0.
ir::OpDef dropout() {
  return {.name = "Dropout",
          .max_inputs = 3,
          .max_outputs = 2,
          .attributes = {{"seed", ir::AttributeKind::Integer}},
          .traits = ir::Trait::Elementwise | ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            std::vector<Type> types = same_type(args);
            if (args.node.outputs.size() > 1) types.push_back(Type{DType::Bool, args.inputs[0].shape});
            return types;
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            if (is_set(args, 2) && (!args.has(1) || is_set(args, 1))) {
              fail("Dropout: training_mode is set; export the model for inference");
            }
            std::vector<Tensor> outputs = {args.in(0)};
            if (args.node.outputs.size() > 1) {
              Tensor mask(DType::Bool, args.in(0).shape());
              for (bool& kept : mask.mutable_data<bool>()) kept = true;
              outputs.push_back(mask);
            }
            return outputs;
          }};
}

}  // namespace kvant::ops
