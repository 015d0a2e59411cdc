// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// y = x * P(X <= x) of a standard normal X: by erf, or with approximate = "tanh" by its usual approximation.
ir::OpDef gelu() {
  return {.name = "Gelu",
          .attributes = {{"approximate", ir::AttributeKind::Text}},
          .traits = ir::Trait::Elementwise,
          .infer = same_type_of<DTypes::Floats>,
          .evaluate = [](const ir::EvalArgs& args) {
            const std::string approximate = args.attributes().text("approximate", "none");
            if (approximate != "none" && approximate != "tanh") {
              fail("Gelu: approximate is \"{}\"; it can be \"none\" or \"tanh\"", approximate);
            }
            return map_activation(args, approximate == "tanh" ? Activation::GeluTanh : Activation::Gelu);
          }};
}

}  // namespace kvant::ops
