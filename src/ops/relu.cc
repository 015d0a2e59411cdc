// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = max(x, 0), of floats and signed integers; NaN stays NaN.
ir::OpDef relu() {
  return {.name = "Relu",
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::SignedNumbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            if (is_float(args.in(0).dtype())) return map_activation(args, Activation::Relu);
            return {map_elements<DTypes::SignedNumbers>(args.node.op, args.in(0),
                                                        [](auto x) { return maximum(x, decltype(x){}); })};
          }};
}

}  // namespace kvant::ops
