// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

#include <algorithm>

namespace kvant::ops {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 31;
constexpr int64_t kMostDimensions = 64;

std::vector<int64_t> ints_of(const Tensor& tensor, std::string_view op, std::string_view what) {
  if (tensor.dtype() != DType::Int64 && tensor.dtype() != DType::Int32) {
    fail("{}: input {} must hold i64 or i32, not {}", op, what, name(tensor.dtype()));
  }
  if (tensor.rank() > 1)
    fail("{}: input {} must be a list, not of shape {}", op, what, to_string(tensor.shape()));
  return tensor.to_ints();
}

}  // namespace

std::vector<Type> same_type(const ir::InferArgs& args) { return {args.inputs[0]}; }

std::optional<Shape> broadcast_partial(std::string_view op, const std::optional<Shape>& a,
                                       const std::optional<Shape>& b) {
  if (!a || !b) return std::nullopt;
  const size_t rank = std::max(a->size(), b->size());
  Shape shape(rank);
  for (size_t d = 0; d < rank; ++d) {
    const int64_t x = d + a->size() < rank ? 1 : (*a)[d + a->size() - rank];
    const int64_t y = d + b->size() < rank ? 1 : (*b)[d + b->size() - rank];
    if (x == y || y == 1) {
      shape[d] = x;
    } else if (x == 1) {
      shape[d] = y;
    } else if (x == kUnknownDim || y == kUnknownDim) {
      shape[d] = x == kUnknownDim ? y : x;
    } else {
      fail("{}: shapes {} and {} do not broadcast", op, to_string(*a), to_string(*b));
    }
  }
  return shape;
}

std::optional<Shape> broadcast_inputs(const ir::InferArgs& args) {
  std::optional<Shape> shape = Shape{};
  for (const Type& input : args.inputs) shape = broadcast_partial(args.node.op, shape, input.shape);
  return shape;
}

std::optional<std::vector<int64_t>> constant_ints(const ir::InferArgs& args, size_t i,
                                                  std::string_view what) {
  if (!args.has(i) || i >= args.constants.size() || args.constants[i] == nullptr) return std::nullopt;
  return ints_of(*args.constants[i], args.node.op, what);
}

std::vector<int64_t> input_ints(const ir::EvalArgs& args, size_t i, std::string_view what) {
  return ints_of(args.in(i), args.node.op, what);
}

int64_t single_int(const std::vector<int64_t>& values, std::string_view op, std::string_view what) {
  if (values.size() != 1) fail("{}: input {} must hold one number, not {}", op, what, values.size());
  return values[0];
}

size_t checked_axis(std::string_view op, int64_t axis, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  if (axis < -n || axis >= n) fail("{}: axis {} is outside a tensor of {} dimensions", op, axis, rank);
  return static_cast<size_t>(axis < 0 ? axis + n : axis);
}

std::vector<size_t> checked_axes(std::string_view op, const std::vector<int64_t>& axes, size_t rank) {
  std::vector<size_t> result;
  for (const int64_t axis : axes) result.push_back(checked_axis(op, axis, rank));
  std::sort(result.begin(), result.end());
  const auto twice = std::adjacent_find(result.begin(), result.end());
  if (twice != result.end()) fail("{}: axis {} is given twice", op, *twice);
  return result;
}

std::optional<int64_t> known_count(const std::optional<Shape>& shape) {
  if (!shape || std::find(shape->begin(), shape->end(), kUnknownDim) != shape->end()) return std::nullopt;
  return element_count(*shape);
}

std::optional<int64_t> known_length(const Type& type) {
  if (!type.shape || type.shape->size() != 1 || (*type.shape)[0] == kUnknownDim) return std::nullopt;
  return (*type.shape)[0];
}

Shape unknown_shape(std::string_view op, int64_t rank) {
  if (rank < 0 || rank > kMostDimensions)
    fail("{}: a result of {} dimensions (most: {})", op, rank, kMostDimensions);
  return Shape(static_cast<size_t>(rank), kUnknownDim);
}

Shape checked_result(std::string_view op, Shape shape) {
  for (const int64_t extent : shape) {
    if (extent < 0) fail("{}: the result's shape {} has a negative dimension", op, to_string(shape));
  }
  if (element_count(shape) > kMostElements) {
    fail("{}: the result would be {}, more than 2^31 elements", op, to_string(shape));
  }
  return shape;
}

int64_t block_size(const ir::Node& node, const Shape& shape) {
  if (shape.size() != 4) fail("{} takes [N, C, H, W], not {}", node.op, to_string(shape));
  const int64_t block = node.attributes.integer("blocksize", 0);
  if (block < 1 || block > 32768) fail("{}: blocksize is {}", node.op, block);
  return block;
}

void require_rank(std::string_view op, const Shape& shape, size_t least) {
  if (shape.size() < least) {
    fail("{} needs an input of at least {} dimensions, not {} ({})", op, least, shape.size(),
         to_string(shape));
  }
}

namespace detail {

std::vector<Type> broadcast_to(const ir::InferArgs& args, DTypes set, std::optional<DType> result) {
  const DType dtype = args.inputs[0].dtype;
  require_dtype(args.node.op, set, dtype);
  for (const Type& input : args.inputs) require_same_dtype(args.node.op, dtype, input.dtype);
  return {Type{result.value_or(dtype), broadcast_inputs(args)}};
}

}  // namespace detail

}  // namespace kvant::ops
