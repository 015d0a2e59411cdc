// SPDX-License-Identifier: Apache-2.0
#include "ops/scale_inputs.h"

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

size_t axis_of(const ir::Node& node, size_t rank) {
  return checked_axis(node.op, node.attributes.integer("axis", 1), rank);
}

int64_t block_size_of(const ir::Node& node) {
  const int64_t size = node.attributes.integer("block_size", 0);
  if (size < 0) fail("{}: block_size is {}; it must be positive, or 0 for none", node.op, size);
  return size;
}

void check_blocks(const ir::Node& node, const Shape& x, const Shape& scale, int64_t block_size) {
  const size_t axis = axis_of(node, x.size());
  bool fits = x.size() == scale.size();
  for (size_t d = 0; fits && d < x.size(); ++d) {
    if (x[d] == kUnknownDim || scale[d] == kUnknownDim) continue;
    const int64_t wanted = d == axis ? x[d] / block_size + (x[d] % block_size != 0) : x[d];
    fits = scale[d] == wanted;
  }
  if (!fits)
    fail("{}: the scale is {}; blocks of {} along axis {} of {} need another shape", node.op,
         to_string(scale), block_size, axis, to_string(x));
}

std::vector<int32_t> zero_points_of(const ir::EvalArgs& args, DType dtype, size_t count) {
  if (!args.has(2)) return std::vector<int32_t>(count, 0);
  const Tensor& tensor = args.in(2);
  if (tensor.dtype() != dtype)
    fail("{}: the zero point holds {}, the codes are {}", args.node.op, name(tensor.dtype()), name(dtype));
  if (tensor.shape() != args.in(1).shape() && !(tensor.size() == 1 && count == 1))
    fail("{}: the zero point is {}, the scale {}; they must be equal", args.node.op,
         to_string(tensor.shape()), to_string(args.in(1).shape()));
  std::vector<int32_t> result;
  for (const int64_t value : tensor.to_ints()) result.push_back(static_cast<int32_t>(value));
  return result;
}

}  // namespace

void require_quantized_type(const ir::Node& node, DType dtype) {
  if (dtype != DType::Int8 && dtype != DType::UInt8 && dtype != DType::Int16 && dtype != DType::UInt16 &&
      dtype != DType::Int32)
    fail("{}: element type {} is not supported for codes; i8, u8, i16, u16 and i32 are", node.op,
         name(dtype));
}

void check_scale_shape(const ir::Node& node, const std::optional<Shape>& x,
                       const std::optional<Shape>& scale) {
  if (!x || !scale || scale->empty() || *scale == Shape{1}) return;
  const int64_t block_size = block_size_of(node);
  if (scale->size() > 1) {
    if (block_size == 0)
      fail("{}: the scale is {}; it must be one value or a list, or block_size must be set", node.op,
           to_string(*scale));
    return check_blocks(node, *x, *scale, block_size);
  }
  if (block_size > 0 && x->size() == 1) return check_blocks(node, *x, *scale, block_size);
  const size_t axis = axis_of(node, x->size());
  const int64_t channels = (*x)[axis], count = (*scale)[0];
  if (channels != kUnknownDim && count != kUnknownDim && channels != count)
    fail("{}: there are {} scales for {} elements along axis {} of {}", node.op, count, channels, axis,
         to_string(*x));
}

std::optional<QuantParams> unblocked_params(const ir::EvalArgs& args, DType dtype) {
  const Tensor &x = args.in(0), &scale = args.in(1);
  check_scale_shape(args.node, x.shape(), scale.shape());
  const bool blocked = block_size_of(args.node) > 0 && scale.rank() == x.rank() && scale.rank() > 0;
  if (blocked && scale.size() != 1) return std::nullopt;
  if (scale.size() == 0 && x.size() != 0) fail("{}: the scale is empty", args.node.op);
  QuantParams params{.dtype = dtype, .scale = scale.to_floats(), .zero_point = {}};
  params.zero_point = zero_points_of(args, dtype, params.scale.size());
  if (scale.size() != 1) params.axis = static_cast<int64_t>(axis_of(args.node, x.rank()));
  return params;
}

BlockedParams blocked_params(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &scale = args.in(1);
  const size_t axis = axis_of(args.node, x.rank());
  BlockedParams result{.scale = scale.to_floats(),
                       .zero_point = {},
                       .axis_size = x.dim(axis),
                       .blocks = scale.dim(axis),
                       .block_size = block_size_of(args.node),
                       .inner = 1};
  const bool decodes = args.node.op == "DequantizeLinear";
  const DType zero_point_type = decodes || !args.has(2) ? x.dtype() : args.in(2).dtype();
  result.zero_point = zero_points_of(args, zero_point_type, result.scale.size());
  for (size_t d = axis + 1; d < x.rank(); ++d) result.inner *= x.dim(d);
  return result;
}

}  // namespace kvant::ops
