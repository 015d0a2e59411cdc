// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

// The largest integer not above x.
ir::OpDef floor_op() {
  return {
      .name = "Floor",
      .traits = ir::Trait::Elementwise,
      .infer = same_type_of<DTypes::Floats>,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        return {map_elements<DTypes::Floats>(args.node.op, args.in(0), [](auto x) { return std::floor(x); })};
      }};
}

}  // namespace kvant::ops
