// SPDX-License-Identifier: Apache-2.0
// Operators that move data or compute shapes.
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/gather.h>
#include <ATen/ops/pad.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/tril.h>
#include <ATen/ops/triu.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

Kernel make_concat(const NodeView& node) {
  const int64_t axis = node.integer("axis", 0);
  return [axis](Frame& frame) {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < frame.size(); ++i) parts.push_back(frame.in(i));
    frame.out(0, at::cat(parts, axis));
  };
}

Kernel make_split(const NodeView& node) {
  const int64_t axis = node.integer("axis", 0);
  const auto count = static_cast<int64_t>(node.output_count());
  return [axis, count](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const int64_t size = x.size(axis);
    Ints parts = frame.has(1) ? frame.ints(1) : Ints();
    if (parts.empty()) {
      const int64_t each = (size + count - 1) / count;
      for (int64_t i = 0; i < count; ++i) parts.push_back(std::clamp<int64_t>(size - i * each, 0, each));
    }
    if (static_cast<int64_t>(parts.size()) != count)
      refuse("Split has another number of parts than of outputs");
    int64_t begin = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      frame.out(i, x.narrow(axis, begin, parts[i]));
      begin += parts[i];
    }
  };
}

namespace {

// One axis of ONNX Slice: clamping rules of the operator's definition.
at::Tensor slice_axis(const at::Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const int64_t size = x.size(axis);
  if (step == 0) refuse("Slice with step 0");
  if (start < 0) start += size;
  if (end < 0) end += size;
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp<int64_t>(end, start, size);
    return x.slice(axis, start, end, step);
  }
  start = std::clamp<int64_t>(start, 0, size - 1);
  end = std::clamp<int64_t>(end, -1, size - 1);
  Ints indices;
  for (int64_t i = start; i > end; i += step) indices.push_back(i);
  return x.index_select(axis, at::tensor(indices, at::TensorOptions(at::kLong)).to(x.device()));
}

}  // namespace

Kernel make_slice(const NodeView&) {
  return [](Frame& frame) {
    at::Tensor x = frame.in(0);
    const Ints starts = frame.ints(1), ends = frame.ints(2);
    const Ints axes = frame.has(3) ? frame.ints(3) : Ints(), steps = frame.has(4) ? frame.ints(4) : Ints();
    if (ends.size() != starts.size() || (!axes.empty() && axes.size() != starts.size()) ||
        (!steps.empty() && steps.size() != starts.size())) {
      refuse("Slice has lists of different lengths");
    }
    for (size_t i = 0; i < starts.size(); ++i) {
      const int64_t axis = axis_of(axes.empty() ? static_cast<int64_t>(i) : axes[i], x.dim());
      x = slice_axis(x, axis, starts[i], ends[i], steps.empty() ? 1 : steps[i]);
    }
    frame.out(0, x);
  };
}

Kernel make_pad(const NodeView& node) {
  const std::string mode = node.text("mode", "constant");
  if (mode != "constant" && mode != "reflect" && mode != "edge")
    refuse("Pad mode '" + mode + "' is not supported in training");
  return [mode](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const Ints given = frame.ints(1);
    Ints axes = frame.has(3) ? frame.ints(3) : Ints();
    for (int64_t i = 0, all = axes.empty(); all && i < x.dim(); ++i) axes.push_back(i);
    if (given.size() != 2 * axes.size()) refuse("pads do not fit the input's rank");
    Ints pads(static_cast<size_t>(2 * x.dim()), 0);  // torch: last axis first, (begin, end) together
    size_t last = 0;
    for (size_t i = 0; i < axes.size(); ++i) {
      const auto at = static_cast<size_t>(2 * (x.dim() - 1 - axis_of(axes[i], x.dim())));
      pads[at] = given[i];
      pads[at + 1] = given[axes.size() + i];
      if (pads[at] != 0 || pads[at + 1] != 0) last = std::max(last, at + 2);
    }
    pads.resize(last);
    if (pads.empty()) return frame.out(0, x);
    const double value = frame.has(2) ? frame.scalar(2) : 0.0;
    frame.out(0, mode == "constant" ? at::pad(x, pads, mode, value)
                                    : at::pad(x, pads, mode == "edge" ? "replicate" : mode));
  };
}

Kernel make_reshape(const NodeView& node) {
  const bool keep_zero = node.integer("allowzero", 0) != 0;
  return [keep_zero](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    Ints shape = frame.ints(1);
    for (size_t i = 0; i < shape.size() && !keep_zero; ++i) {
      if (shape[i] == 0) shape[i] = x.size(static_cast<int64_t>(i));
    }
    frame.out(0, x.reshape(shape));
  };
}

Kernel make_flatten(const NodeView& node) {
  const int64_t axis = node.integer("axis", 1);
  return [axis](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const int64_t first = axis == x.dim() ? axis : axis_of(axis, x.dim());
    int64_t rows = 1;
    for (int64_t i = 0; i < first; ++i) rows *= x.size(i);
    frame.out(0, x.reshape({rows, rows == 0 ? 0 : x.numel() / rows}));
  };
}

Kernel make_squeeze(const NodeView&) {
  return [](Frame& frame) {
    at::Tensor x = frame.in(0);
    if (!frame.has(1)) return frame.out(0, x.squeeze());
    Ints axes = frame.ints(1);
    for (int64_t& axis : axes) axis = axis_of(axis, x.dim());
    std::sort(axes.rbegin(), axes.rend());
    for (const int64_t axis : axes) x = x.squeeze(axis);
    frame.out(0, x);
  };
}

Kernel make_unsqueeze(const NodeView&) {
  return [](Frame& frame) {
    at::Tensor x = frame.in(0);
    Ints axes = frame.ints(1);
    const int64_t rank = x.dim() + static_cast<int64_t>(axes.size());
    for (int64_t& axis : axes) axis = axis_of(axis, rank);
    std::sort(axes.begin(), axes.end());
    for (const int64_t axis : axes) x = x.unsqueeze(axis);
    frame.out(0, x);
  };
}

Kernel make_transpose(const NodeView& node) {
  const Ints given = node.integers("perm");
  return [given](Frame& frame) {
    Ints order = given;
    for (int64_t i = frame.in(0).dim(), all = given.empty(); all && i-- > 0;) order.push_back(i);
    frame.out(0, frame.in(0).permute(order));
  };
}

Kernel make_gather(const NodeView& node) {
  const int64_t given = node.integer("axis", 0);
  return [given](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const int64_t axis = axis_of(given, x.dim()), size = x.size(axis);
    const at::Tensor where = frame.in(1).to(at::kLong);
    Ints flat = frame.ints(1);
    for (int64_t& i : flat) {
      if (i < -size || i >= size)
        refuse("Gather index " + std::to_string(i) + " is outside an axis of " + std::to_string(size));
      if (i < 0) i += size;
    }
    Ints shape = x.sizes().slice(0, static_cast<size_t>(axis)).vec();
    shape.insert(shape.end(), where.sizes().begin(), where.sizes().end());
    const auto rest = x.sizes().slice(static_cast<size_t>(axis) + 1);
    shape.insert(shape.end(), rest.begin(), rest.end());
    frame.out(
        0,
        x.index_select(axis, at::tensor(flat, at::TensorOptions(at::kLong)).to(x.device())).reshape(shape));
  };
}

Kernel make_gather_elements(const NodeView& node) {
  const int64_t given = node.integer("axis", 0);
  return [given](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const int64_t axis = axis_of(given, x.dim()), size = x.size(axis);
    const at::Tensor where = frame.in(1).to(x.device(), at::kLong);
    frame.out(0, at::gather(x, axis, at::where(where < 0, where + size, where)));
  };
}

Kernel make_size(const NodeView&) {
  return [](Frame& frame) {
    frame.out(0, at::scalar_tensor(frame.in(0).numel(), at::TensorOptions(at::kLong)));
  };
}

Kernel make_range(const NodeView&) {
  return [](Frame& frame) {
    const at::ScalarType type = frame.in(0).scalar_type();
    const at::Tensor y =
        at::arange(frame.scalar(0), frame.scalar(1), frame.scalar(2), at::TensorOptions(at::kDouble));
    frame.out(0, y.to(type));
  };
}

// Input 1, of ours: the value, which ONNX has as an attribute.
Kernel make_constant_of_shape(const NodeView&) {
  return [](Frame& frame) {
    const Ints shape = frame.ints(0);
    frame.out(0, frame.has(1) ? frame.in(1).reshape({}).expand(shape)
                              : at::zeros(shape, at::TensorOptions(at::kFloat)));
  };
}

Kernel make_trilu(const NodeView& node) {
  const bool upper = node.integer("upper", 1) != 0;
  return [upper](Frame& frame) {
    const int64_t k = frame.has(1) ? frame.ints(1).at(0) : 0;
    frame.out(0, upper ? at::triu(frame.in(0), k) : at::tril(frame.in(0), k));
  };
}

Kernel make_expand(const NodeView&) {
  return [](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    Ints shape = frame.ints(1);
    while (static_cast<int64_t>(shape.size()) < x.dim()) shape.insert(shape.begin(), 1);
    const size_t lead = shape.size() - static_cast<size_t>(x.dim());
    for (size_t i = lead; i < shape.size(); ++i) {  // broadcasting goes both ways: 1 keeps x's dimension
      if (shape[i] == 1) shape[i] = x.size(static_cast<int64_t>(i - lead));
    }
    frame.out(0, x.expand(shape));
  };
}

Kernel make_tile(const NodeView&) {
  return [](Frame& frame) { frame.out(0, frame.in(0).repeat(frame.ints(1))); };
}

Kernel make_shape(const NodeView& node) {
  const int64_t start = node.integer("start", 0), end = node.integer("end", INT64_MAX);
  return [=](Frame& frame) {
    const Ints all = frame.in(0).sizes().vec();
    const auto rank = static_cast<int64_t>(all.size());
    const int64_t first = std::clamp<int64_t>(start < 0 ? start + rank : start, 0, rank);
    const int64_t last = std::clamp<int64_t>(end < 0 ? end + rank : end, first, rank);
    const Ints part(all.begin() + first, all.begin() + last);
    frame.out(0, at::tensor(part, at::TensorOptions(at::kLong)));
  };
}

Kernel make_depth_to_space(const NodeView& node) {
  const int64_t block = node.integer("blocksize", 1);
  const bool crd = node.text("mode", "DCR") == "CRD";
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    if (x.dim() != 4 || block < 1 || x.size(1) % (block * block) != 0)
      refuse("the input does not fit blocksize " + std::to_string(block));
    const int64_t n = x.size(0), c = x.size(1) / (block * block), h = x.size(2), w = x.size(3);
    const at::Tensor y = crd ? x.reshape({n, c, block, block, h, w}).permute({0, 1, 4, 2, 5, 3})
                             : x.reshape({n, block, block, c, h, w}).permute({0, 3, 4, 1, 5, 2});
    frame.out(0, y.reshape({n, c, h * block, w * block}));
  };
}

Kernel make_space_to_depth(const NodeView& node) {
  const int64_t block = node.integer("blocksize", 1);
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    if (x.dim() != 4 || block < 1 || x.size(2) % block != 0 || x.size(3) % block != 0)
      refuse("the input does not fit blocksize " + std::to_string(block));
    const int64_t n = x.size(0), c = x.size(1), h = x.size(2) / block, w = x.size(3) / block;
    const at::Tensor y = x.reshape({n, c, h, block, w, block}).permute({0, 3, 5, 1, 2, 4});
    frame.out(0, y.reshape({n, c * block * block, h, w}));
  };
}

}  // namespace kvant::train::plugin
