// SPDX-License-Identifier: Apache-2.0
#include "ops/reduce.h"

#include <algorithm>
#include <numeric>

namespace kvant::ops {
namespace {

std::vector<size_t> all_axes(size_t rank) {
  std::vector<size_t> axes(rank);
  std::iota(axes.begin(), axes.end(), size_t{0});
  return axes;
}

std::vector<size_t> chosen_axes(const ir::Node& node, const std::vector<int64_t>& axes, size_t rank) {
  if (!axes.empty()) return checked_axes(node.op, axes, rank);
  if (node.attributes.integer("noop_with_empty_axes", 0) != 0) return {};
  return all_axes(rank);
}

bool has_axis(const std::vector<size_t>& axes, size_t axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

}  // namespace

Shape reduced_shape(const Shape& shape, const std::vector<size_t>& axes, bool keep_dims) {
  Shape result;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (!has_axis(axes, d)) {
      result.push_back(shape[d]);
    } else if (keep_dims) {
      result.push_back(1);
    }
  }
  return result;
}

Reduction plan_reduction(const Shape& shape, const std::vector<size_t>& axes, bool keep_dims) {
  Reduction plan;
  plan.shape = reduced_shape(shape, axes, keep_dims);
  const std::vector<int64_t> kept_strides = strides_of(reduced_shape(shape, axes, true));
  bool previous_reduced = false;
  for (size_t d = 0; d < shape.size(); ++d) {
    const bool is_reduced = has_axis(axes, d);
    if (is_reduced) plan.count *= shape[d];
    if (shape[d] == 1) continue;
    if (!plan.extents.empty() && is_reduced == previous_reduced) {
      plan.extents.back() *= shape[d];
      plan.strides.back() = is_reduced ? 0 : kept_strides[d];
    } else {
      plan.extents.push_back(shape[d]);
      plan.strides.push_back(is_reduced ? 0 : kept_strides[d]);
    }
    previous_reduced = is_reduced;
  }
  if (plan.extents.empty()) {
    plan.extents.push_back(1);
    plan.strides.push_back(0);
  }
  return plan;
}

std::vector<size_t> reduced_axes(const ir::EvalArgs& args) {
  const std::vector<int64_t> axes = args.has(1) ? input_ints(args, 1, "axes") : std::vector<int64_t>{};
  return chosen_axes(args.node, axes, args.in(0).rank());
}

std::vector<Type> infer_reduction(const ir::InferArgs& args, DTypes set) {
  const Type& x = args.inputs[0];
  require_dtype(args.node.op, set, x.dtype);
  if (!x.shape) return {Type{x.dtype, std::nullopt}};
  const bool keep_dims = keeps_dims(args.node);
  std::vector<int64_t> axes;
  if (args.has(1)) {
    const auto constant = constant_ints(args, 1, "axes");
    if (!constant) {
      if (!keep_dims) return {Type{x.dtype, std::nullopt}};
      return {Type{x.dtype, Shape(x.shape->size(), kUnknownDim)}};
    }
    axes = *constant;
  }
  return {Type{x.dtype, reduced_shape(*x.shape, chosen_axes(args.node, axes, x.shape->size()), keep_dims)}};
}

bool keeps_dims(const ir::Node& node) { return node.attributes.integer("keepdims", 1) != 0; }

std::vector<ir::AttributeDef> reduction_attributes() {
  return {{"keepdims", ir::AttributeKind::Integer}, {"noop_with_empty_axes", ir::AttributeKind::Integer}};
}

}  // namespace kvant::ops
