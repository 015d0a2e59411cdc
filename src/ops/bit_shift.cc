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

template <class T>
T shifted(T a, T b, bool left) {
  const T gone = !left && std::is_signed_v<T> && a < T{1} && a != T{0} ? static_cast<T>(-1) : T{0};
  const auto bits = static_cast<uint64_t>(b);  // a negative b becomes larger than any width
  if (bits >= sizeof(T) * 8) return gone;
  return left ? static_cast<T>(static_cast<uint64_t>(a) << bits) : static_cast<T>(a >> bits);
}

}  // namespace

// a shifted by b bits; when b is negative or reaches the width all bits are gone (right shifts of negative
// numbers: -1).
ir::OpDef bit_shift() {
  return {.name = "BitShift",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"direction", ir::AttributeKind::Text, true}},
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Integers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const bool left = shifts_left(args.node);
            return {map_pairs<DTypes::Integers>(args.node.op, args.in(0), args.in(1),
                                                [left](auto a, auto b) { return shifted(a, b, left); })};
          }};
}

}  // namespace kvant::ops
