// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

Shape deep_shape(const Shape& x, int64_t block) {
  for (const size_t d : {2, 3}) {
    if (x[d] != kUnknownDim && x[d] % block != 0) {
      fail("SpaceToDepth: dimension {} of {} is not a multiple of {}", d, to_string(x), block);
    }
  }
  const auto divided = [&](int64_t dim) { return dim == kUnknownDim ? dim : dim / block; };
  return {x[0], x[1] == kUnknownDim ? x[1] : x[1] * block * block, divided(x[2]), divided(x[3])};
}

std::vector<Tensor> evaluate_space_to_depth(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const int64_t block = block_size(args.node, x.shape());
  const Shape shape = deep_shape(x.shape(), block);
  const std::string mode = args.attributes().text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    fail("SpaceToDepth: mode is \"{}\"; it can be \"DCR\" or \"CRD\"", mode);
  const int64_t block_first[] = {0, 3, 5, 1, 2, 4}, channel_first[] = {0, 1, 3, 5, 2, 4};
  const Tensor blocks = x.reshaped({x.dim(0), x.dim(1), shape[2], block, shape[3], block});
  return {transpose(blocks, mode == "DCR" ? block_first : channel_first).reshaped(shape)};
}

}  // namespace

// Blocks of pixels to channels: [N, C, H*b, W*b] to [N, b*b*C, H, W].
ir::OpDef space_to_depth() {
  return {.name = "SpaceToDepth",
          .attributes = {{"blocksize", ir::AttributeKind::Integer, true}, {"mode", ir::AttributeKind::Text}},
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Type& x = args.inputs[0];
            if (!x.shape) return {Type{x.dtype, unknown_shape(args.node.op, 4)}};
            return {Type{x.dtype, deep_shape(*x.shape, block_size(args.node, *x.shape))}};
          },
          .evaluate = evaluate_space_to_depth};
}

}  // namespace kvant::ops
