// SPDX-License-Identifier: Apache-2.0
#include "ops/shape_rules.h"

namespace kvant::ops {

namespace {

Shape result_shape(const Shape& x, int64_t block) {
  const auto scaled = [&](int64_t dim) { return dim == kUnknownDim ? dim : dim * block; };
  if (x[1] != kUnknownDim && x[1] % (block * block) != 0) {
    fail("DepthToSpace: {} channels are not a multiple of {}", x[1], block * block);
  }
  return {x[0], x[1] == kUnknownDim ? x[1] : x[1] / (block * block), scaled(x[2]), scaled(x[3])};
}

std::vector<Tensor> evaluate_depth_to_space(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const int64_t block = block_size(args.node, x.shape());
  const Shape shape = result_shape(x.shape(), block);
  const std::string mode = args.attributes().text("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    fail("DepthToSpace: mode is \"{}\"; it can be \"DCR\" or \"CRD\"", mode);
  const int64_t n = shape[0], c = shape[1], h = x.dim(2), w = x.dim(3);
  if (mode == "DCR") {
    const int64_t perm[] = {0, 3, 4, 1, 5, 2};
    return {transpose(x.reshaped({n, block, block, c, h, w}), perm).reshaped(shape)};
  }
  const int64_t perm[] = {0, 1, 4, 2, 5, 3};
  return {transpose(x.reshaped({n, c, block, block, h, w}), perm).reshaped(shape)};
}

}  // namespace

// Channels to blocks of pixels: [N, C*b*b, H, W] to [N, C, H*b, W*b]; mode says which part of the channel is
// the block.
ir::OpDef depth_to_space() {
  return {.name = "DepthToSpace",
          .attributes = {{"blocksize", ir::AttributeKind::Integer, true}, {"mode", ir::AttributeKind::Text}},
          .traits = ir::Trait::MovesData,
          .infer = [](const ir::InferArgs& args) -> std::vector<Type> {
            const Type& x = args.inputs[0];
            if (!x.shape) return {Type{x.dtype, unknown_shape(args.node.op, 4)}};
            return {Type{x.dtype, result_shape(*x.shape, block_size(args.node, *x.shape))}};
          },
          .evaluate = evaluate_depth_to_space};
}

}  // namespace kvant::ops
