// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {
namespace {

// Sizes along the axis: the `split` input, or equal chunks (rounded up) with what is left for the last.
std::vector<int64_t> chunk_sizes(const ir::Node& node, int64_t extent, const std::vector<int64_t>* split) {
  const auto count = static_cast<int64_t>(node.outputs.size());
  const int64_t wanted = node.attributes.integer("num_outputs", count);
  if (wanted != count) fail("Split: num_outputs is {}, but the node has {} outputs", wanted, count);
  std::vector<int64_t> sizes;
  if (split != nullptr) {
    sizes = *split;
    if (static_cast<int64_t>(sizes.size()) != count)
      fail("Split: {} sizes for {} outputs", sizes.size(), count);
  } else {
    const int64_t chunk = (extent + count - 1) / count;
    sizes.assign(static_cast<size_t>(count), chunk);
    sizes.back() = extent - chunk * (count - 1);
  }
  int64_t left = extent;
  for (const int64_t size : sizes) {
    if (size < 0 || size > left) fail("Split: {} cannot be split into these {} parts", extent, count);
    left -= size;
  }
  if (left != 0) fail("Split: the sizes leave {} of {} over", left, extent);
  return sizes;
}

std::vector<Type> infer_split(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  std::vector<Type> types(args.node.outputs.size(), x);
  if (!x.shape) return types;
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.shape->size());
  const int64_t extent = (*x.shape)[axis];
  const auto split = constant_ints(args, 1, "split");
  const bool sizes_known = split || !args.has(1);
  std::vector<int64_t> sizes(types.size(), kUnknownDim);
  if (extent != kUnknownDim && sizes_known) {
    sizes = chunk_sizes(args.node, extent, split ? &*split : nullptr);
  } else if (split && split->size() == sizes.size()) {
    for (size_t i = 0; i < sizes.size(); ++i) sizes[i] = checked_result(args.node.op, {(*split)[i]})[0];
  }
  for (size_t i = 0; i < types.size(); ++i) (*types[i].shape)[axis] = sizes[i];
  return types;
}

std::vector<Tensor> evaluate_split(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const size_t axis = checked_axis(args.node.op, args.attributes().integer("axis", 0), x.rank());
  std::vector<int64_t> split;
  if (args.has(1)) split = input_ints(args, 1, "split");
  const auto sizes = chunk_sizes(args.node, x.dim(axis), args.has(1) ? &split : nullptr);
  const int64_t outer = count_before(x.shape(), axis);
  const size_t row = static_cast<size_t>(count_from(x.shape(), axis + 1)) * size_of(x.dtype());
  const std::byte* source = x.raw();
  std::vector<Tensor> outputs;
  for (const int64_t size : sizes) {
    Shape shape = x.shape();
    shape[axis] = size;
    Tensor part(x.dtype(), shape);
    const size_t chunk = static_cast<size_t>(size) * row, stride = static_cast<size_t>(x.dim(axis)) * row;
    if (part.size() > 0) {
      std::byte* target = part.mutable_raw();
      for (size_t o = 0; o < static_cast<size_t>(outer); ++o)
        std::memcpy(target + o * chunk, source + o * stride, chunk);
    }
    if (chunk > 0 && outer > 0) source += chunk;
    outputs.push_back(part);
  }
  return outputs;
}

}  // namespace

// The input cut along `axis` into parts of the sizes in `split`, or into equal ones.
ir::OpDef split() {
  return {.name = "Split",
          .max_inputs = 2,
          .max_outputs = ir::kVariadic,
          .attributes = {{"axis", ir::AttributeKind::Integer}, {"num_outputs", ir::AttributeKind::Integer}},
          .traits = ir::Trait::MovesData,
          .infer = infer_split,
          .evaluate = evaluate_split};
}

}  // namespace kvant::ops
