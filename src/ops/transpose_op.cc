// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Attribute perm, checked; absent: the axes reversed.
std::vector<int64_t> permutation(const ir::Node& node, size_t rank) {
  std::vector<int64_t> perm = node.attributes.integers("perm");
  if (perm.empty()) {
    for (size_t d = rank; d-- > 0;) perm.push_back(static_cast<int64_t>(d));
  }
  std::vector<int64_t> sorted = perm;
  std::sort(sorted.begin(), sorted.end());
  for (size_t d = 0; d < sorted.size(); ++d) {
    if (sorted[d] != static_cast<int64_t>(d)) fail("Transpose: perm is not a permutation of the axes");
  }
  if (perm.size() != rank)
    fail("Transpose: perm has {} entries for a tensor of {} dimensions", perm.size(), rank);
  return perm;
}

}  // namespace

// Axes permuted: y.shape[i] = x.shape[perm[i]].
ir::OpDef transpose_op() {
  return {.name = "Transpose",
          .attributes = {{"perm", ir::AttributeKind::Integers}},
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Type& x = args.inputs[0];
            if (!x.shape) return {x};
            Shape shape;
            for (const int64_t axis : permutation(args.node, x.shape->size())) {
              shape.push_back((*x.shape)[static_cast<size_t>(axis)]);
            }
            return {Type{x.dtype, shape}};
          },
          .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
            return {transpose(args.in(0), permutation(args.node, args.in(0).rank()))};
          }};
}

}  // namespace kvant::ops
