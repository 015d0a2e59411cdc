// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "ops/elementwise.h"
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

// fmod = 1: the sign of the dividend; else the sign of the divisor (Python's %).
template <class T>
T modulo(T a, T b, bool c_style) {
  if constexpr (std::is_integral_v<T>) {
    if (b == 0) fail("Mod: remainder of an integer by zero");
    if constexpr (std::is_signed_v<T>) {
      if (b == -1) return 0;
      const T remainder = static_cast<T>(a % b);
      const bool adjust = !c_style && remainder != 0 && (remainder < 0) != (b < 0);
      return adjust ? static_cast<T>(remainder + b) : remainder;
    } else {
      return static_cast<T>(a % b);
    }
  } else {
    const T remainder = std::fmod(a, b);
    const bool adjust = !c_style && remainder != 0 && (remainder < 0) != (b < 0);
    return adjust ? remainder + b : remainder;
  }
}

}  // namespace

// The remainder of a / b; its sign follows `fmod`. Integers refuse a zero divisor.
ir::OpDef mod() {
  return {.name = "Mod",
          .min_inputs = 2,
          .max_inputs = 2,
          .attributes = {{"fmod", ir::AttributeKind::Integer}},
          .traits = ir::Trait::Elementwise,
          .infer = broadcast_type<DTypes::Numbers>,
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const bool c_style = args.attributes().integer("fmod", 0) != 0;
            return {map_pairs<DTypes::Numbers>(args.node.op, args.in(0), args.in(1),
                                               [c_style](auto a, auto b) { return modulo(a, b, c_style); })};
          }};
}

}  // namespace kvant::ops
