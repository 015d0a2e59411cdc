// SPDX-License-Identifier: Apache-2.0
// QSqueezeExcite (docs/lowered-ops.md) taken apart: the four operators that it is, for its reference and for
// kernels of it.
#pragma once

#include <array>
#include <string_view>

#include "ir/op_def.h"

namespace kvant::ops {

// QGlobalAveragePool, QConv, QConv and QMul.
enum class ExcitePart { Pool, Reduce, Expand, Scale };
inline constexpr std::array kExciteParts = {ExcitePart::Pool, ExcitePart::Reduce, ExcitePart::Expand,
                                            ExcitePart::Scale};

// Inputs of QSqueezeExcite: x, weight, multiplier and bias of Reduce, the same of Expand, the optional tables
// of both. Where input i of a part that is a QConv stands among them; i is not 0 and not the residual's.
constexpr size_t excite_input(ExcitePart part, size_t i) {
  const bool reduce = part == ExcitePart::Reduce;
  return i == 5 ? (reduce ? 7 : 8) : (reduce ? 0 : 3) + i;
}
// "pool_", "reduce_", "expand_", "scale_": before the names of the part's attributes.
std::string_view excite_prefix(ExcitePart part);
std::string_view excite_op(ExcitePart part);

// The part as a node of its own: its attributes; inputs that are there have the id 0.
ir::Node excite_part(const ir::Node& whole, ExcitePart part);
// Types of the parts' results, the last one's that of the whole. Fails where the operands do not fit.
std::array<ir::Type, 4> excite_types(const ir::InferArgs& args);

}  // namespace kvant::ops
