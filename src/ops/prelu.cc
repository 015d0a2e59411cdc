// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x for x >= 0, else slope * x; slope broadcasts to x's shape (not the other way).
ir::OpDef prelu() {
  return {.name = "PRelu",
          .min_inputs = 2,
          .max_inputs = 2,
          .traits = ir::Trait::Elementwise,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const auto joint = broadcast_type<DTypes::Numbers>(args);
            const auto& x = args.inputs[0].shape;
            if (x && joint[0].shape && joint[0].shape->size() > x->size()) {
              fail("PRelu: slope of shape {} does not broadcast to {}", to_string(*args.inputs[1].shape),
                   to_string(*x));
            }
            return same_type(args);
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Tensor& x = args.in(0);
            const Tensor& slope = args.in(1);
            if (broadcast(x.shape(), slope.shape()) != x.shape()) {
              fail("PRelu: slope of shape {} does not broadcast to {}", to_string(slope.shape()),
                   to_string(x.shape()));
            }
            return {map_pairs<DTypes::Numbers>(args.node.op, x, slope, [](auto v, auto s) {
              return v < decltype(v){} ? multiply_wrapping(s, v) : v;
            })};
          }};
}

}  // namespace kvant::ops
