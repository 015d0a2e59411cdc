// SPDX-License-Identifier: Apache-2.0
// Normalizations by the statistics of the tensor itself.
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/group_norm.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/rsqrt.h>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

Kernel make_layer_normalization(const NodeView& node) {
  const int64_t axis = node.integer("axis", -1);
  const double epsilon = node.real("epsilon", 1e-5);
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const auto first = static_cast<size_t>(axis_of(axis, x.dim()));
    const Ints shape = x.sizes().slice(first).vec();
    at::Tensor scale = frame.optional(1), bias = frame.optional(2);
    if (scale.defined() && scale.sizes() != at::IntArrayRef(shape)) scale = scale.expand(shape);
    if (bias.defined() && bias.sizes() != at::IntArrayRef(shape)) bias = bias.expand(shape);
    frame.out(0, at::layer_norm(x, shape, scale, bias, epsilon, false));
  };
}

Kernel make_group_normalization(const NodeView& node) {
  const int64_t groups = node.integer("num_groups", 1);
  const double epsilon = node.real("epsilon", 1e-5);
  return [=](Frame& frame) {
    frame.out(0, at::group_norm(frame.in(0), groups, frame.in(1), frame.in(2), epsilon, false));
  };
}

Kernel make_rms_normalization(const NodeView& node) {
  const int64_t axis = node.integer("axis", -1);
  const double epsilon = node.real("epsilon", 1e-5);
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    Ints axes;
    for (int64_t i = axis_of(axis, x.dim()); i < x.dim(); ++i) axes.push_back(i);
    frame.out(0, x * at::rsqrt(at::mean(at::mul(x, x), axes, true) + epsilon) * frame.in(1));
  };
}

Kernel make_lp_normalization(const NodeView& node) {
  const int64_t axis = node.integer("axis", -1), p = node.integer("p", 2);
  return [=](Frame& frame) {
    const at::Tensor norm = at::linalg_vector_norm(frame.in(0), p, at::IntArrayRef(axis), true);
    // Where all is zero the norm is, and ONNX gives zeros.
    frame.out(0, frame.in(0) / norm.masked_fill(norm == 0, 1.0));
  };
}

Kernel make_lrn(const NodeView& node) {
  const int64_t size = node.integer("size", 1);
  const double alpha = node.real("alpha", 1e-4), beta = node.real("beta", 0.75), bias = node.real("bias", 1);
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    const int64_t channels = x.size(1), before = (size - 1) / 2;
    Ints pads(static_cast<size_t>(2 * (x.dim() - 1)), 0);  // torch: last axis first; the channels' come last
    pads[pads.size() - 2] = before;
    pads[pads.size() - 1] = size - 1 - before;
    const at::Tensor squares = at::constant_pad_nd(at::mul(x, x), pads, 0);
    at::Tensor sum = squares.narrow(1, 0, channels);
    for (int64_t i = 1; i < size; ++i) sum = sum + squares.narrow(1, i, channels);
    frame.out(0, x / at::pow(sum * (alpha / static_cast<double>(size)) + bias, beta));
  };
}

}  // namespace kvant::train::plugin
