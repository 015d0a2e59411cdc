// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <string_view>
#include <utility>

#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

// The part of [0, rank) that attributes start and end leave, both clamped.
std::pair<size_t, size_t> range_of(const ir::Node& node, size_t rank) {
  const auto n = static_cast<int64_t>(rank);
  const auto position = [&](std::string_view attribute, int64_t absent) {
    const int64_t at = node.attributes.integer(attribute, absent);
    return std::clamp<int64_t>(at < 0 ? at + n : at, 0, n);
  };
  const int64_t start = position("start", 0), end = position("end", n);
  return {static_cast<size_t>(start), static_cast<size_t>(std::max(start, end))};
}

}  // namespace

// The dimensions of x (from attribute start to end) as an i64 list.
ir::OpDef shape_op() {
  return {.name = "Shape",
          .attributes = {{"start", ir::AttributeKind::Integer}, {"end", ir::AttributeKind::Integer}},
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            if (!args.inputs[0].shape) return {Type{DType::Int64, Shape{kUnknownDim}}};
            const auto [start, end] = range_of(args.node, args.inputs[0].shape->size());
            return {Type{DType::Int64, Shape{static_cast<int64_t>(end - start)}}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            const Shape& shape = args.in(0).shape();
            const auto [start, end] = range_of(args.node, shape.size());
            return {Tensor::vector(std::vector<int64_t>(shape.begin() + static_cast<std::ptrdiff_t>(start),
                                                        shape.begin() + static_cast<std::ptrdiff_t>(end)))};
          }};
}

}  // namespace kvant::ops
