// SPDX-License-Identifier: Apache-2.0
// Type rules that many operators share, and the pieces to write others. A shape is absent when the rank is
// not known; dimensions that are not known are kUnknownDim.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/op_def.h"
#include "ops/elementwise.h"

namespace kvant::ops {

using ir::Type;

// Whole rules, to be used as OpDef::infer. same_type: one output of input 0's type, for any element type.
std::vector<Type> same_type(const ir::InferArgs& args);
// The same, refusing element types outside Set.
template <DTypes Set>
std::vector<Type> same_type_of(const ir::InferArgs& args) {
  require_dtype(args.node.op, Set, args.inputs[0].dtype);
  return same_type(args);
}
// All inputs broadcast to one shape; the output has their common element type (fails if they differ or are
// not in Set).
template <DTypes Set>
std::vector<Type> broadcast_type(const ir::InferArgs& args);
// The same with a Bool output.
template <DTypes Set>
std::vector<Type> comparison_type(const ir::InferArgs& args);

// Broadcast of partially known shapes: an unknown dimension against n > 1 gives n (it must be 1 or n),
// against 1 or unknown gives unknown. Fails if known dimensions do not fit; `op` is named.
std::optional<Shape> broadcast_partial(std::string_view op, const std::optional<Shape>& a,
                                       const std::optional<Shape>& b);
// The shape that all inputs broadcast to.
std::optional<Shape> broadcast_inputs(const ir::InferArgs& args);

// Input i as integers when it is a known constant. Fails if it is not i32/i64 or has more than one dimension;
// `what` names it ("axes").
std::optional<std::vector<int64_t>> constant_ints(const ir::InferArgs& args, size_t i, std::string_view what);
// The same during evaluation.
std::vector<int64_t> input_ints(const ir::EvalArgs& args, size_t i, std::string_view what);
// Exactly one integer.
int64_t single_int(const std::vector<int64_t>& values, std::string_view op, std::string_view what);

// Axis in [-rank, rank) to [0, rank); fails naming the operator, the axis and the rank.
size_t checked_axis(std::string_view op, int64_t axis, size_t rank);
// The same for a list; sorted; fails on a repeated axis.
std::vector<size_t> checked_axes(std::string_view op, const std::vector<int64_t>& axes, size_t rank);

// The number of elements if every dimension is known.
std::optional<int64_t> known_count(const std::optional<Shape>& shape);
// The length of a 1-D shape if it is known (how many dimensions a shape tensor describes).
std::optional<int64_t> known_length(const Type& type);
// A shape of `rank` unknown dimensions; fails if a model asks for more than 64.
Shape unknown_shape(std::string_view op, int64_t rank);
// Result of an operator that can make much out of little (Expand, Tile, Range ...): fails above 2^31
// elements.
Shape checked_result(std::string_view op, Shape shape);
// Attribute blocksize of DepthToSpace and SpaceToDepth, whose input `shape` must have 4 dimensions. Fails
// unless it is 1 to 2^15.
int64_t block_size(const ir::Node& node, const Shape& shape);
// Fails if the input has fewer dimensions than `least`.
void require_rank(std::string_view op, const Shape& shape, size_t least);

namespace detail {
std::vector<Type> broadcast_to(const ir::InferArgs& args, DTypes set, std::optional<DType> result);
}

template <DTypes Set>
std::vector<Type> broadcast_type(const ir::InferArgs& args) {
  return detail::broadcast_to(args, Set, std::nullopt);
}
template <DTypes Set>
std::vector<Type> comparison_type(const ir::InferArgs& args) {
  return detail::broadcast_to(args, Set, DType::Bool);
}

}  // namespace kvant::ops
