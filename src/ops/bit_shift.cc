// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

bool shifts_left(const ir::Node& node) {
  const std::string direction = node.attributes.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT") {
    fail("BitShift: direction is \"{}\"; it must be \"LEFT\" or \"RIGHT\"", direction);
  }
  return direction == "LEFT";
}

}  // namespace

// a shifted by b bits (unsigned integers); all bits are gone when b reaches the width.
ir::OpDef bit_shift() {
  return {.name = "BitShift",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"direction", ir::AttributeKind::Text, true}},
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::UnsignedIntegers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const bool left = shifts_left(args.node);
            return {map_pairs<DTypes::UnsignedIntegers>(args.node.op, args.in(0), args.in(1),
                                                        [left](auto a, auto b) {
                                                          using T = decltype(a);
                                                          if (b >= sizeof(T) * 8) return T{0};
                                                          const auto wide = static_cast<uint64_t>(a);
                                                          return static_cast<T>(left ? wide << b : wide >> b);
                                                        })};
          }};
}

}  // namespace kvant::ops
