// SPDX-License-Identifier: Apache-2.0
// Operators that move data by strides: copies (Reshape and its kin), Transpose, Concat, Pad.
#include <cstring>

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/move/move.h"

namespace kvant::backends::cuda {
namespace {

constexpr size_t kMaxRank = CopyDesc::kMaxRank;

void set_element(const engine::NodeView& view, DType dtype, CopyDesc& d) {
  d.element_bytes = static_cast<int32_t>(size_of(dtype));
  const bool fits =
      d.element_bytes == 1 || d.element_bytes == 2 || d.element_bytes == 4 || d.element_bytes == 8;
  require(view, fits, "elements of another size than 1, 2, 4 or 8 bytes");
}

// Copies `shape` between tensors of these strides.
CopyDesc copy_of(const engine::NodeView& view, DType dtype, const Shape& shape,
                 const std::vector<int64_t>& x_stride, const std::vector<int64_t>& y_stride) {
  require(view, shape.size() <= kMaxRank, "too many axes");
  CopyDesc d;
  set_element(view, dtype, d);
  d.rank = static_cast<int32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i)
    d.shape[i] = shape[i], d.x_stride[i] = x_stride[i], d.y_stride[i] = y_stride[i];
  if (d.rank == 0) d.rank = 1, d.shape[0] = 1, d.x_stride[0] = d.y_stride[0] = 1;
  return d;
}

// ---- Reshape, Flatten, Squeeze, Unsqueeze, Identity (where they are no views).

CopyDesc describe_reshape(const engine::NodeView& view, const Operands& operands) {
  const int64_t count = element_count(output_shape(view));
  require(view, operands.dtype(0) == view.outputs.at(0).dtype && element_count(operands.shape(0)) == count,
          "x and y differ in type or size");
  return copy_of(view, operands.dtype(0), {count}, {1}, {1});
}

CopyDesc describe_transpose(const engine::NodeView& view, const Operands& operands) {
  const Shape &x = operands.shape(0), &y = output_shape(view);
  std::vector<int64_t> reversed;
  for (size_t i = x.size(); i-- > 0;) reversed.push_back(static_cast<int64_t>(i));
  const std::vector<int64_t> perm = view.node.attributes.integers("perm", reversed);
  require(view,
          operands.dtype(0) == view.outputs.at(0).dtype && perm.size() == x.size() && y.size() == x.size(),
          "perm, x and y do not fit");
  const std::vector<int64_t> strides = strides_of(x);
  std::vector<int64_t> x_stride;
  std::vector<char> seen(x.size(), 0);
  for (size_t i = 0; i < perm.size(); ++i) {
    require(view,
            perm[i] >= 0 && perm[i] < static_cast<int64_t>(x.size()) && !seen[static_cast<size_t>(perm[i])],
            "perm is not a permutation");
    seen[static_cast<size_t>(perm[i])] = 1;
    require(view, y[i] == x[static_cast<size_t>(perm[i])], "the result has not the transposed shape");
    x_stride.push_back(strides[static_cast<size_t>(perm[i])]);
  }
  return copy_of(view, operands.dtype(0), y, x_stride, strides_of(y));
}

CopyDesc describe_one(const engine::NodeView& view, const Operands& operands) {
  return view.node.op == "Transpose" ? describe_transpose(view, operands) : describe_reshape(view, operands);
}

std::vector<std::string> one_tactics(const engine::NodeView& view, int, std::string&) {
  describe_one(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> one_load(const engine::NodeView& view, std::string_view tactic,
                                       std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const CopyDesc d = describe_one(view, operands);
  return launch_step(operands.take(),
                     [d](const Places& p, const auto& launch) { launch(copy_launch(d, p.in(0), p.out())); });
}

// ---- Concat: the rows of up to eight inputs a launch.

struct Joining {
  JoinDesc desc;
  std::vector<size_t> inputs;  // of the node, in order
};

std::vector<Joining> describe_concat(const engine::NodeView& view, const Operands& operands) {
  const Shape& y = output_shape(view);
  const DType dtype = view.outputs.at(0).dtype;
  const auto axis = static_cast<size_t>(normalize_axis(view.node.attributes.integer("axis", 0), y.size()));
  const auto middle = y.begin() + static_cast<std::ptrdiff_t>(axis);
  const int64_t rows = element_count(Shape(y.begin(), middle));
  const int64_t element = element_count(Shape(middle + 1, y.end())) * static_cast<int64_t>(size_of(dtype));
  std::vector<Joining> joinings;
  int64_t along = 0;
  for (size_t i = 0; i < view.node.inputs.size(); ++i) {
    const Shape& x = operands.shape(i);
    require(view, operands.dtype(i) == dtype && x.size() == y.size(),
            fmt::format("input {} differs from y", i));
    Shape expected = y;
    expected[axis] = x[axis];
    require(view, x == expected, fmt::format("input {} is [{}], y is [{}]", i, to_string(x), to_string(y)));
    const int64_t begin = along * element;
    along += x[axis];
    if (element_count(x) == 0) continue;
    if (joinings.empty() || joinings.back().desc.parts == JoinDesc::kMaxParts) {
      Joining next;
      next.desc.rows = rows, next.desc.y_width = y[axis] * element, next.desc.offset = begin;
      joinings.push_back(next);
    }
    Joining& last = joinings.back();
    last.desc.width[static_cast<size_t>(last.desc.parts++)] = x[axis] * element;
    last.inputs.push_back(i);
  }
  require(view, along == y[axis], "the inputs do not add up to y");
  return joinings;
}

std::vector<std::string> concat_tactics(const engine::NodeView& view, int, std::string&) {
  describe_concat(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> concat_load(const engine::NodeView& view, std::string_view tactic,
                                          std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  Operands operands(view, std::move(packed));
  const std::vector<Joining> joinings = describe_concat(view, operands);
  return launch_step(operands.take(), [joinings](const Places& p, const auto& launch) {
    for (const Joining& joining : joinings) {
      std::array<const void*, JoinDesc::kMaxParts> parts{};
      for (size_t i = 0; i < joining.inputs.size(); ++i) parts[i] = p.in(joining.inputs[i]);
      launch(join_launch(joining.desc, parts, p.out()));
    }
  });
}

// ---- Pad with a constant: the whole result filled, then x put into it.

struct Padded {
  CopyDesc copy;
  int64_t offset = 0, count = 0;  // of y: where x begins, in bytes; elements
  uint64_t bits = 0;              // of the padding
};

Padded describe_pad(const engine::NodeView& view, const Operands& operands) {
  require(view, view.node.attributes.text("mode", "constant") == "constant",
          "only a constant is padded with");
  const Shape &x = operands.shape(0), &y = output_shape(view);
  const DType dtype = operands.dtype(0);
  require(view, operands.constant(0) == nullptr && view.outputs.at(0).dtype == dtype, "x is constant");
  const std::vector<int64_t> pads = operands.required(1, "the padding").to_ints();
  require(view, !operands.has(3) && pads.size() == 2 * x.size() && y.size() == x.size(),
          "not a pad for each axis");
  Padded p;
  p.copy = copy_of(view, dtype, x, strides_of(x), strides_of(y));
  p.count = element_count(y);
  const std::vector<int64_t> y_stride = strides_of(y);
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t before = pads[i], after = pads[i + x.size()];
    require(view, before >= 0 && after >= 0 && y[i] == x[i] + before + after,
            "a pad is negative or does not fit");
    p.offset += before * y_stride[i] * p.copy.element_bytes;
  }
  if (!operands.has(2)) return p;
  const Tensor& value = operands.required(2, "the value");
  require(view, value.dtype() == dtype && value.size() == 1, "the padding is not one element");
  std::memcpy(&p.bits, value.raw(), static_cast<size_t>(p.copy.element_bytes));
  return p;
}

std::vector<std::string> pad_tactics(const engine::NodeView& view, int, std::string&) {
  describe_pad(view, Operands(view));
  return {std::string(kPlain)};
}

std::unique_ptr<engine::Step> pad_load(const engine::NodeView& view, std::string_view tactic,
                                       std::vector<Tensor> packed) {
  require(view, tactic == kPlain, fmt::format("unknown tactic '{}'", tactic));
  const Padded d = describe_pad(view, Operands(view, std::move(packed)));
  const bool empty = element_count(input_shape(view, 0)) == 0;
  return launch_step({}, [d, empty](const Places& p, const auto& launch) {
    launch(fill_launch(d.copy.element_bytes, d.bits, d.count, p.out()));
    if (!empty) launch(copy_launch(d.copy, p.in(0), p.out() + d.offset));
  });
}

Binding one(std::string_view op) { return {op, one_tactics, pack_constants, one_load}; }

}  // namespace

Binding bind_reshape() { return one("Reshape"); }
Binding bind_flatten() { return one("Flatten"); }
Binding bind_squeeze() { return one("Squeeze"); }
Binding bind_unsqueeze() { return one("Unsqueeze"); }
Binding bind_identity() { return one("Identity"); }
Binding bind_transpose() { return one("Transpose"); }
Binding bind_concat() { return {"Concat", concat_tactics, pack_constants, concat_load}; }
Binding bind_pad() { return {"Pad", pad_tactics, pack_constants, pad_load}; }
Binding bind_qconcat() { return {"QConcat", concat_tactics, pack_constants, concat_load}; }

}  // namespace kvant::backends::cuda
