// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Replaces 0 (a copied dimension, unless allowzero) and -1 (what is left over). Dimensions of `input` may be
// unknown; the result's are, where they cannot be told.
Shape resolve(const Shape& input, const std::vector<int64_t>& wanted, bool allow_zero) {
  Shape shape = wanted;
  int64_t known_in = 1, known_out = 1, inferred = -1;
  int unknown_in = 0, unknown_out = 0;
  for (const int64_t dim : input) dim == kUnknownDim ? void(++unknown_in) : void(known_in *= dim);
  for (size_t i = 0; i < shape.size(); ++i) {
    if (wanted[i] < -1) fail("Reshape: dimension {} of the new shape is {}", i, wanted[i]);
    if (wanted[i] == -1) {
      if (inferred >= 0) fail("Reshape: the new shape has more than one -1 (at {} and {})", inferred, i);
      inferred = static_cast<int64_t>(i);
      continue;
    }
    if (wanted[i] == 0 && !allow_zero) {
      if (i >= input.size())
        fail("Reshape: dimension {} is 0 (copied), but the input is {}", i, to_string(input));
      shape[i] = input[i];
    }
    shape[i] == kUnknownDim ? void(++unknown_out)
                            : void(known_out *= checked_result("Reshape", {shape[i]})[0]);
    checked_result("Reshape", {known_out});
  }
  const bool complete = unknown_in == unknown_out;  // unknown dimensions that were copied cancel
  if (inferred < 0) {
    if (complete && known_in != known_out)
      fail("Reshape: {} does not fit {}", to_string(input), to_string(wanted));
    return shape;
  }
  int64_t& free = shape[static_cast<size_t>(inferred)];
  if (!complete) return shape;
  if (known_out == 0 || known_in % known_out != 0) {
    fail("Reshape: {} cannot be divided into {}", to_string(input), to_string(wanted));
  }
  free = known_in / known_out;
  return shape;
}

std::vector<Type> infer_reshape(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  const bool allow_zero = args.attributes().integer("allowzero", 0) != 0;
  const auto wanted = constant_ints(args, 1, "shape");
  if (!wanted) {
    const auto rank = known_length(args.inputs[1]);
    if (!rank) return {Type{x.dtype, std::nullopt}};
    return {Type{x.dtype, unknown_shape(args.node.op, *rank)}};
  }
  if (x.shape) return {Type{x.dtype, resolve(*x.shape, *wanted, allow_zero)}};
  Shape shape = *wanted;
  for (int64_t& dim : shape) dim = dim == 0 && !allow_zero ? kUnknownDim : dim;
  return {Type{x.dtype, shape}};
}

}  // namespace

// The same elements under another shape; 0 copies the input's dimension (unless allowzero), one -1 takes what
// is left.
ir::OpDef reshape() {
  return {
      .name = "Reshape",
      .min_inputs = 2,
      .max_inputs = 2,
      .attributes = {{"allowzero", ir::AttributeKind::Integer}},
      .traits = ir::Trait::MovesData,
      .infer = infer_reshape,
      .evaluate = [](const ir::EvalArgs& args) -> std::vector<Tensor> {
        const bool allow_zero = args.attributes().integer("allowzero", 0) != 0;
        return {args.in(0).reshaped(resolve(args.in(0).shape(), input_ints(args, 1, "shape"), allow_zero))};
      }};
}

}  // namespace kvant::ops
