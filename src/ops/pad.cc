// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <string>

#include "ops/shape_rules.h"
#include "ops/strided_copy.h"

namespace kvant::ops {

namespace {

constexpr int64_t kMostPadding = int64_t{1} << 40;

struct Padding {
  std::vector<int64_t> begin, end;  // for each axis; negative: cut off
};

Padding padding(const std::vector<int64_t>& pads, const std::vector<int64_t>* axes, size_t rank) {
  std::vector<int64_t> all(rank);
  std::iota(all.begin(), all.end(), int64_t{0});
  if (axes != nullptr) all = *axes;
  checked_axes("Pad", all, rank);
  if (pads.size() != 2 * all.size()) fail("Pad: {} pads for {} axes (two for each)", pads.size(), all.size());
  Padding result{std::vector<int64_t>(rank, 0), std::vector<int64_t>(rank, 0)};
  for (size_t i = 0; i < all.size(); ++i) {
    const size_t axis = checked_axis("Pad", all[i], rank);
    for (const int64_t pad : {pads[i], pads[i + all.size()]}) {
      if (pad > kMostPadding || pad < -kMostPadding) fail("Pad: a pad of {}", pad);
    }
    result.begin[axis] = pads[i];
    result.end[axis] = pads[i + all.size()];
  }
  return result;
}

Shape padded(const Shape& shape, const Padding& by) {
  Shape result = shape;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] == kUnknownDim) continue;
    result[d] += by.begin[d] + by.end[d];
    if (result[d] < 0) fail("Pad: negative pads take more than dimension {} of {} has", d, to_string(shape));
  }
  return result;
}

// Where element i of a padded axis comes from; n is the axis's own extent.
int64_t source_index(const std::string& mode, int64_t i, int64_t n) {
  if (mode == "edge") return std::clamp<int64_t>(i, 0, n - 1);
  const int64_t period = mode == "wrap" ? n : std::max<int64_t>(2 * (n - 1), 1);
  const int64_t at = ((i % period) + period) % period;
  return at < n ? at : period - at;
}

// Element offsets in the source along one axis.
std::vector<int64_t> axis_offsets(const std::string& mode, int64_t begin, int64_t count, int64_t n,
                                  int64_t stride) {
  if (n == 0 && count > 0) fail("Pad: mode {} needs at least one element along each padded axis", mode);
  std::vector<int64_t> offsets(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    offsets[static_cast<size_t>(i)] = source_index(mode, i - begin, n) * stride;
  return offsets;
}

void copy_mapped(const Tensor& x, Tensor& y, const std::vector<std::vector<int64_t>>& offsets) {
  visit_word(size_of(x.dtype()), [&]<class Word>() {
    const auto* in = reinterpret_cast<const Word*>(x.raw());
    auto* out = reinterpret_cast<Word*>(y.mutable_raw());
    const size_t outer = offsets.size() - 1;
    std::vector<size_t> index(outer, 0);
    for (int64_t done = 0; done < y.size(); done += static_cast<int64_t>(offsets[outer].size())) {
      int64_t base = 0;
      for (size_t d = 0; d < outer; ++d) base += offsets[d][index[d]];
      for (const int64_t offset : offsets[outer]) *out++ = in[base + offset];
      for (size_t d = outer; d-- > 0 && ++index[d] == offsets[d].size();) index[d] = 0;
    }
  });
}

Tensor pad_constant(const ir::EvalArgs& args, const Padding& by) {
  const Tensor& x = args.in(0);
  Tensor y(x.dtype(), checked_result("Pad", padded(x.shape(), by)));
  if (args.has(2)) {
    require_same_dtype("Pad", x.dtype(), args.in(2).dtype());
    if (args.in(2).size() != 1) fail("Pad: constant_value must be one element");
    fill(y, args.in(2));
  }
  StridedBox box{x.shape(), strides_of(x.shape()), strides_of(y.shape())};
  int64_t from = 0, to = 0;
  for (size_t d = 0; d < x.rank(); ++d) {
    const int64_t cut = std::max<int64_t>(-by.begin[d], 0), lead = std::max<int64_t>(by.begin[d], 0);
    box.extents[d] = std::max<int64_t>(std::min(x.dim(d) - cut, y.dim(d) - lead), 0);
    from += cut * box.source_strides[d];
    to += lead * box.target_strides[d];
  }
  if (y.size() == 0 || element_count(box.extents) == 0) return y;
  const auto size = static_cast<int64_t>(size_of(x.dtype()));
  copy_strided(box, size_of(x.dtype()), x.raw() + from * size, y.mutable_raw() + to * size);
  return y;
}

std::vector<Tensor> evaluate_pad(const ir::EvalArgs& args) {
  const Tensor& x = args.in(0);
  const std::string mode = args.attributes().text("mode", "constant");
  std::vector<int64_t> axes;
  if (args.has(3)) axes = input_ints(args, 3, "axes");
  const Padding by = padding(input_ints(args, 1, "pads"), args.has(3) ? &axes : nullptr, x.rank());
  if (mode == "constant") return {pad_constant(args, by)};
  if (mode != "reflect" && mode != "edge" && mode != "wrap") {
    fail("Pad: mode is \"{}\"; it can be \"constant\", \"reflect\", \"edge\" or \"wrap\"", mode);
  }
  Tensor y(x.dtype(), checked_result("Pad", padded(x.shape(), by)));
  if (y.size() == 0) return {y};
  if (x.rank() == 0) return {x};
  const auto strides = strides_of(x.shape());
  std::vector<std::vector<int64_t>> offsets;
  for (size_t d = 0; d < x.rank(); ++d) {
    offsets.push_back(axis_offsets(mode, by.begin[d], y.dim(d), x.dim(d), strides[d]));
  }
  copy_mapped(x, y, offsets);
  return {y};
}

std::vector<Type> infer_pad(const ir::InferArgs& args) {
  const Type& x = args.inputs[0];
  if (!x.shape) return {x};
  const auto pads = constant_ints(args, 1, "pads"), axes = constant_ints(args, 3, "axes");
  if (!pads || (args.has(3) && !axes)) return {Type{x.dtype, Shape(x.shape->size(), kUnknownDim)}};
  const Padding by = padding(*pads, axes ? &*axes : nullptr, x.shape->size());
  return {Type{x.dtype, padded(*x.shape, by)}};
}

}  // namespace

// x with elements added before and after along axes: a constant (default 0), or x's own by reflection,
// repetition of the edge, or wrapping around. Negative pads cut off.
ir::OpDef pad() {
  return {.name = "Pad",
          .min_inputs = 2,
          .max_inputs = 4,
          .attributes = {{"mode", ir::AttributeKind::Text}},
          .traits = ir::Trait::MovesData,
          .infer = infer_pad,
          .evaluate = evaluate_pad};
}

}  // namespace kvant::ops
