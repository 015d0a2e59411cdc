// SPDX-License-Identifier: Apache-2.0
// Resize: every coordinate mode as a gather along one axis after another.
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

namespace {

struct ResizeRule {
  bool linear;
  std::string coordinates, nearest;
};

// Where output index `o` lies in the input (ONNX Resize, coordinate_transformation_mode).
double source(const ResizeRule& rule, double o, double scale, double in, double out) {
  if (rule.coordinates == "asymmetric") return o / scale;
  if (rule.coordinates == "align_corners") return out == 1 ? 0 : o * (in - 1) / (out - 1);
  if (rule.coordinates == "pytorch_half_pixel") return out > 1 ? (o + 0.5) / scale - 0.5 : 0;
  if (rule.coordinates == "half_pixel_symmetric") {
    const double adjustment = out / (scale * in);
    return in / 2 * (1 - adjustment) + (o + 0.5) / scale - 0.5;
  }
  return (o + 0.5) / scale - 0.5;
}

double pick(const ResizeRule& rule, double x) {
  if (rule.nearest == "floor") return std::floor(x);
  if (rule.nearest == "ceil") return std::ceil(x);
  if (rule.nearest == "round_prefer_ceil") return std::floor(x + 0.5);
  return std::ceil(x - 0.5);
}

at::Tensor index_tensor(const Ints& values, const at::Tensor& x) {
  return at::tensor(values, at::TensorOptions(at::kLong)).to(x.device());
}

// One axis at a time, by gathering: every coordinate mode is only a list of indices (and weights).
at::Tensor resize_axis(const ResizeRule& rule, const at::Tensor& x, int64_t axis, int64_t out, double scale) {
  const int64_t in = x.size(axis);
  Ints low, high;
  std::vector<float> share;
  const auto clamp = [&](double v) {
    return static_cast<int64_t>(std::clamp(v, 0.0, static_cast<double>(in - 1)));
  };
  for (int64_t o = 0; o < out; ++o) {
    const double s =
        source(rule, static_cast<double>(o), scale, static_cast<double>(in), static_cast<double>(out));
    if (!rule.linear) {
      low.push_back(clamp(pick(rule, s)));
      continue;
    }
    low.push_back(clamp(std::floor(s)));
    high.push_back(clamp(std::floor(s) + 1));
    share.push_back(static_cast<float>(s - std::floor(s)));
  }
  const at::Tensor a = x.index_select(axis, index_tensor(low, x));
  if (!rule.linear) return a;
  Ints shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(axis)] = out;
  const at::Tensor weight = at::tensor(share, at::TensorOptions(at::kFloat)).view(shape).to(x.device());
  return a * (1 - weight) + x.index_select(axis, index_tensor(high, x)) * weight;
}

}  // namespace

Kernel make_resize(const NodeView& node) {
  const std::string mode = node.text("mode", "nearest");
  const ResizeRule rule{mode == "linear", node.text("coordinate_transformation_mode", "half_pixel"),
                        node.text("nearest_mode", "round_prefer_floor")};
  if (mode != "nearest" && mode != "linear")
    refuse("Resize mode '" + mode + "' is not supported in training");
  if (rule.coordinates == "tf_crop_and_resize" || node.integer("antialias", 0) != 0 ||
      node.text("keep_aspect_ratio_policy", "stretch") != "stretch") {
    refuse("Resize with cropping, antialiasing or a kept aspect ratio is not supported in training");
  }
  const Ints given_axes = node.integers("axes");
  return [rule, given_axes](Frame& frame) {
    at::Tensor x = frame.in(0);
    Ints axes = given_axes;
    for (int64_t i = 0; given_axes.empty() && i < x.dim(); ++i) axes.push_back(i);
    const bool by_size = frame.has(3);
    const Ints sizes = by_size ? frame.ints(3) : Ints();
    const at::Tensor scales = by_size ? at::Tensor() : frame.in(2).to(at::kCPU, at::kFloat).contiguous();
    const size_t count = by_size ? sizes.size() : static_cast<size_t>(scales.numel());
    if (count != axes.size()) refuse("sizes or scales do not fit the resized axes");
    for (size_t i = 0; i < axes.size(); ++i) {
      const int64_t axis = axis_of(axes[i], x.dim()), in = x.size(axis);
      const double scale = by_size ? static_cast<double>(sizes[i]) / static_cast<double>(in)
                                   : static_cast<double>(scales.data_ptr<float>()[i]);
      const int64_t out =
          by_size ? sizes[i] : static_cast<int64_t>(std::floor(static_cast<double>(in) * scale));
      if (out != in || scale != 1) x = resize_axis(rule, x, axis, out, scale);
    }
    frame.out(0, x);
  };
}

}  // namespace kvant::train::plugin
