// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

Shape result_shape(const Shape& x, int64_t block) {
  for (const size_t d : {2, 3}) {
    if (x[d] != kUnknownDim && x[d] % block != 0) {
      fail("SpaceToDepth: dimension {} of {} is not a multiple of {}", d, to_string(x), block);
    }
  }
  const auto divided = [&](int64_t dim) { return dim == kUnknownDim ? dim : dim / block; };
  return {x[0], x[1] == kUnknownDim ? x[1] : x[1] * block * block, divided(x[2]), divided(x[3])};
}

}  // namespace

// Blocks of pixels to channels: [N, C, H*b, W*b] to [N, b*b*C, H, W].
ir::OpDef space_to_depth() {
  return {
      .name = "SpaceToDepth",
      .attributes = {{"blocksize", ir::AttributeKind::Integer, true}},
      .traits = ir::Trait::MovesData,
      .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
        const Type& x = args.inputs[0];
        if (!x.shape) return {Type{x.dtype, unknown_shape(args.node.op, 4)}};
        return {Type{x.dtype, result_shape(*x.shape, block_size(args.node, *x.shape))}};
      },
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        const Tensor& x = args.in(0);
        const int64_t b = block_size(args.node, x.shape());
        const Shape shape = result_shape(x.shape(), b);
        const int64_t perm[] = {0, 3, 5, 1, 2, 4};
        return {transpose(x.reshaped({x.dim(0), x.dim(1), shape[2], b, shape[3], b}), perm).reshaped(shape)};
      }};
}

}  // namespace kvant::ops
