// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {
namespace {

struct Cut {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

// numpy's rules: negative positions count from the end, then both are clamped to the dimension.
Cut cut(int64_t extent, int64_t start, int64_t end, int64_t step) {
  if (step == 0) fail("Slice: a step is 0");
  // Longer steps than the dimension all take one element; clamped, their negation cannot overflow.
  step = std::clamp(step, -extent - 1, extent + 1);
  if (start < 0) start += extent;
  if (end < 0) end += extent;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, extent);
    end = std::clamp<int64_t>(end, 0, extent);
    return {start, step, end > start ? (end - start + step - 1) / step : 0};
  }
  start = std::clamp<int64_t>(start, 0, std::max<int64_t>(extent - 1, 0));
  end = std::clamp<int64_t>(end, -1, extent - 1);
  return {start, step, start > end && extent > 0 ? (start - end - step - 1) / -step : 0};
}

// Axes given as input 3, else 0, 1, ... for each start.
std::vector<size_t> sliced_axes(const std::vector<int64_t>* axes, size_t count, size_t rank) {
  std::vector<int64_t> all;
  for (size_t i = 0; i < count; ++i)
    all.push_back(axes != nullptr && i < axes->size() ? (*axes)[i] : int64_t(i));
  if (axes != nullptr && axes->size() != count) fail("Slice: {} axes for {} starts", axes->size(), count);
  checked_axes("Slice", all, rank);
  std::vector<size_t> result;
  for (const int64_t axis : all) result.push_back(checked_axis("Slice", axis, rank));
  return result;
}

std::vector<Type> infer_slice(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  if (!x.shape) return {x};
  const auto starts = constant_ints(args, 1, "starts"), ends = constant_ints(args, 2, "ends");
  const auto axes = constant_ints(args, 3, "axes"), steps = constant_ints(args, 4, "steps");
  const std::optional<int64_t> count =
      starts ? static_cast<int64_t>(starts->size()) : known_length(args.inputs[1]);
  if (!count || (args.has(3) && !axes)) return {Type{x.dtype, Shape(x.shape->size(), kUnknownDim)}};
  Shape shape = *x.shape;
  const bool known = starts && ends && (steps || !args.has(4));
  const auto length = static_cast<size_t>(*count);
  if (known && (ends->size() != length || (steps && steps->size() != length))) {
    fail("Slice: {} starts, {} ends", length, ends->size());
  }
  if (length > shape.size()) fail("Slice: {} starts for a tensor of {} dimensions", length, shape.size());
  const auto dims = sliced_axes(axes ? &*axes : nullptr, length, shape.size());
  for (size_t i = 0; i < dims.size(); ++i) {
    int64_t& dim = shape[dims[i]];
    const bool can_tell = known && dim != kUnknownDim;
    dim = can_tell ? cut(dim, (*starts)[i], (*ends)[i], steps ? (*steps)[i] : 1).count : kUnknownDim;
  }
  return {Type{x.dtype, shape}};
}

std::vector<Tensor> evaluate_slice(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const auto starts = input_ints(args, 1, "starts"), ends = input_ints(args, 2, "ends");
  std::vector<int64_t> axes, steps(starts.size(), 1);
  if (args.has(3)) axes = input_ints(args, 3, "axes");
  if (args.has(4)) steps = input_ints(args, 4, "steps");
  if (ends.size() != starts.size() || steps.size() != starts.size()) {
    fail("Slice: {} starts, {} ends and {} steps", starts.size(), ends.size(), steps.size());
  }
  const auto dims = sliced_axes(args.has(3) ? &axes : nullptr, starts.size(), x.rank());
  StridedBox box{x.shape(), strides_of(x.shape()), {}};
  int64_t offset = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    const Cut c = cut(x.dim(dims[i]), starts[i], ends[i], steps[i]);
    offset += c.start * box.source_strides[dims[i]];
    box.extents[dims[i]] = c.count;
    box.source_strides[dims[i]] *= c.step;
  }
  Tensor y(x.dtype(), box.extents);
  if (y.size() == 0) return {y};
  box.target_strides = strides_of(y.shape());
  const size_t size = size_of(x.dtype());
  copy_strided(box, size, x.raw() + offset * static_cast<int64_t>(size), y.mutable_raw());
  return {y};
}

}  // namespace

// x[start:end:step] along axes, by numpy's rules.
ir::OpDef slice() {
  return {.name = "Slice",
          .min_inputs = 3,
          .max_inputs = 5,
          .traits = ir::Trait::MovesData,
          .infer = infer_slice,
          .evaluate = evaluate_slice};
}

}  // namespace kvant::ops
