// SPDX-License-Identifier: Apache-2.0
// Operators that slide a window: convolutions and pools; and the normalizations that follow them.
#include <ATen/ops/amax.h>
#include <ATen/ops/avg_pool2d.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/convolution.h>
#include <ATen/ops/instance_norm.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones_like.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/torch/windows.h"

namespace kvant::train::plugin {

Window::Window(const NodeView& node)
    : kernel(node.integers("kernel_shape")),
      strides(node.integers("strides")),
      pads(node.integers("pads")),
      dilations(node.integers("dilations")),
      auto_pad(node.text("auto_pad", "NOTSET")) {}

Window Window::fitted(size_t rank, const char* what) const {
  Window window = *this;
  const auto fill = [&](Ints& list, size_t size, int64_t value) {
    if (list.empty()) list.assign(size, value);
    if (list.size() != size) refuse(std::string(what) + " has attributes for another number of dimensions");
  };
  fill(window.strides, rank, 1);
  fill(window.dilations, rank, 1);
  fill(window.pads, 2 * rank, 0);
  return window;
}

Ints Window::padding(const Ints& sizes, const Ints& kernel) const {
  if (auto_pad.empty() || auto_pad == "NOTSET") return pads;
  const size_t rank = sizes.size();
  Ints result(2 * rank, 0);
  if (auto_pad == "VALID") return result;
  for (size_t i = 0; i < rank; ++i) {
    const int64_t out = (sizes[i] + strides[i] - 1) / strides[i];
    const int64_t extent = (kernel[i] - 1) * dilations[i] + 1;
    const int64_t total = std::max<int64_t>(0, (out - 1) * strides[i] + extent - sizes[i]);
    const int64_t less = total / 2;
    result[i] = auto_pad == "SAME_LOWER" ? total - less : less;
    result[rank + i] = total - result[i];
  }
  return result;
}

bool symmetric(const Ints& pads) {
  const size_t rank = pads.size() / 2;
  return std::equal(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank),
                    pads.begin() + static_cast<std::ptrdiff_t>(rank)) &&
         std::all_of(pads.begin(), pads.end(), [](int64_t p) { return p >= 0; });
}

at::Tensor pad_spatial(const at::Tensor& x, const Ints& pads, double value) {
  const size_t rank = pads.size() / 2;
  Ints reversed;  // torch: last axis first, (begin, end) together
  for (size_t i = rank; i-- > 0;) {
    reversed.push_back(pads[i]);
    reversed.push_back(pads[rank + i]);
  }
  return at::constant_pad_nd(x, reversed, value);
}

Ints spatial_sizes(const at::Tensor& x) {
  if (x.dim() < 3)
    refuse("the input must have a batch, a channel and spatial dimensions, it has rank " +
           std::to_string(x.dim()));
  return x.sizes().slice(2).vec();
}

Kernel make_conv(const NodeView& node) {
  const Window given(node);
  const int64_t group = node.integer("group", 1);
  return [given, group](Frame& frame) {
    at::Tensor x = frame.in(0);
    const at::Tensor& w = frame.in(1);
    const Ints sizes = spatial_sizes(x), kernel = spatial_sizes(w);
    const Window window = given.fitted(sizes.size(), "Conv");
    Ints pads = window.padding(sizes, kernel);
    if (!symmetric(pads)) {
      x = pad_spatial(x, pads, 0);
      pads.assign(pads.size(), 0);
    }
    pads.resize(sizes.size());
    const Ints zeros(sizes.size(), 0);
    frame.out(0, at::convolution(x, w, frame.optional(2), window.strides, pads, window.dilations, false,
                                 zeros, group));
  };
}

namespace {

// Pads that ConvTranspose crops off (ONNX: from output_shape, auto_pad or pads). `full`: sizes before
// cropping.
Ints crops(const Window& window, const Ints& wanted, const Ints& full, const Ints& sizes) {
  const size_t rank = sizes.size();
  const bool same = window.auto_pad == "SAME_UPPER" || window.auto_pad == "SAME_LOWER";
  if (wanted.empty() && !same) return window.auto_pad == "VALID" ? Ints(2 * rank, 0) : window.pads;
  Ints result(2 * rank, 0);
  for (size_t i = 0; i < rank; ++i) {
    const int64_t out = wanted.empty() ? sizes[i] * window.strides[i] : wanted[wanted.size() - rank + i];
    const int64_t total = full[i] - out;
    const int64_t less = total / 2;
    result[i] = window.auto_pad == "SAME_UPPER" ? less : total - less;
    result[rank + i] = total - result[i];
  }
  return result;
}

}  // namespace

Kernel make_conv_transpose(const NodeView& node) {
  const Window given(node);
  const int64_t group = node.integer("group", 1);
  const Ints wanted = node.integers("output_shape"), extra = node.integers("output_padding");
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const at::Tensor& w = frame.in(1);
    const Ints sizes = spatial_sizes(x), kernel = spatial_sizes(w);
    const size_t rank = sizes.size();
    const Window window = given.fitted(rank, "ConvTranspose");
    const Ints out_pad = extra.empty() ? Ints(rank, 0) : extra;
    if (out_pad.size() != rank) refuse("output_padding does not fit the input's rank");
    const Ints zeros(rank, 0);
    at::Tensor y = at::convolution(x, w, frame.optional(2), window.strides, zeros, window.dilations, true,
                                   out_pad, group);
    const Ints full = spatial_sizes(y);
    const Ints crop = crops(window, wanted, full, sizes);
    for (size_t i = 0; i < rank; ++i) {
      const int64_t length = full[i] - crop[i] - crop[rank + i];
      if (length != full[i]) y = y.narrow(static_cast<int64_t>(i) + 2, crop[i], length);
    }
    frame.out(0, y);
  };
}

Kernel make_batch_normalization(const NodeView& node) {
  const double epsilon = node.real("epsilon", 1e-5), momentum = node.real("momentum", 0.9);
  return [=](Frame& frame) {
    // Updates the running statistics (inputs 3, 4) in place in training. ONNX keeps `momentum` of the old
    // ones, torch takes that share of the new ones.
    frame.out(0, at::batch_norm(frame.in(0), frame.in(1), frame.in(2), frame.in(3), frame.in(4),
                                frame.mode.batch_statistics, 1 - momentum, epsilon, false));
  };
}

Kernel make_instance_normalization(const NodeView& node) {
  const double epsilon = node.real("epsilon", 1e-5);
  return [=](Frame& frame) {
    frame.out(0, at::instance_norm(frame.in(0), frame.in(1), frame.in(2), {}, {}, true, 0.1, epsilon, false));
  };
}

namespace {

// A pooling node's window on a 4-D tensor; a 3-D input counts as one of height 1.
struct Pooling {
  explicit Pooling(const NodeView& node)
      : given(node),
        ceil(node.integer("ceil_mode", 0) != 0),
        count_pad(node.integer("count_include_pad", 0) != 0) {}

  // Calls pool(x, window, pads) on 4-D x.
  template <class Pool>
  void run(Frame& frame, const Pool& pool) const {
    at::Tensor x = frame.in(0);
    Window window = given.fitted(spatial_sizes(x).size(), "pooling");
    const bool line = x.dim() == 3;
    if (line) {
      x = x.unsqueeze(2);
      for (Ints* list : {&window.kernel, &window.strides, &window.dilations}) list->insert(list->begin(), 1);
      window.pads = {0, window.pads.at(0), 0, window.pads.at(1)};
    }
    if (x.dim() != 4)
      refuse("pooling over " + std::to_string(x.dim() - 2) + " dimensions is not supported in training");
    if (window.kernel.size() != 2) refuse("kernel_shape does not fit the input's rank");
    const at::Tensor y = pool(x, window, window.padding(spatial_sizes(x), window.kernel));
    frame.out(0, line ? y.squeeze(2) : y);
  }

  Window given;
  bool ceil, count_pad;
};

// What torch pads by itself: equal on both sides, at most half the window.
bool native(const Ints& pads, const Ints& kernel) {
  return symmetric(pads) && pads[0] <= kernel[0] / 2 && pads[1] <= kernel[1] / 2;
}

}  // namespace

Kernel make_max_pool(const NodeView& node) {
  if (node.output_count() > 1) refuse("the index output of MaxPool is not supported in training");
  const Pooling pooling(node);
  return [pooling](Frame& frame) {
    pooling.run(frame, [&](at::Tensor x, const Window& window, Ints pads) {
      if (!native(pads, window.kernel)) {
        x = pad_spatial(x, pads, -std::numeric_limits<float>::infinity());
        pads.assign(4, 0);
      }
      return at::max_pool2d(x, window.kernel, window.strides, at::IntArrayRef(pads.data(), 2),
                            window.dilations, pooling.ceil);
    });
  };
}

Kernel make_average_pool(const NodeView& node) {
  const Pooling pooling(node);
  return [pooling](Frame& frame) {
    pooling.run(frame, [&](const at::Tensor& x, const Window& window, const Ints& pads) {
      const at::IntArrayRef half(pads.data(), 2);
      if (window.dilations != Ints{1, 1}) refuse("AveragePool with dilations is not supported in training");
      if (native(pads, window.kernel)) {
        return at::avg_pool2d(x, window.kernel, window.strides, half, pooling.ceil, pooling.count_pad);
      }
      const auto pool = [&](const at::Tensor& t) {
        return at::avg_pool2d(pad_spatial(t, pads, 0), window.kernel, window.strides, {0, 0}, pooling.ceil,
                              true);
      };
      if (pooling.count_pad) return pool(x);
      // Sum over the window divided by how much of it is not padding: the window's size cancels out.
      return pool(x) / pool(at::ones_like(x.slice(0, 0, 1).slice(1, 0, 1)));
    });
  };
}

namespace {

Ints spatial_axes(const at::Tensor& x) {
  Ints axes;
  for (int64_t i = 2; i < x.dim(); ++i) axes.push_back(i);
  return axes;
}

}  // namespace

Kernel make_global_average_pool(const NodeView&) {
  return [](Frame& frame) { frame.out(0, at::mean(frame.in(0), spatial_axes(frame.in(0)), true)); };
}

Kernel make_global_max_pool(const NodeView&) {
  return [](Frame& frame) { frame.out(0, at::amax(frame.in(0), spatial_axes(frame.in(0)), true)); };
}

}  // namespace kvant::train::plugin
