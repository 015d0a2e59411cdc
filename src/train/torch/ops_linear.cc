// SPDX-License-Identifier: Apache-2.0
// Matrix products, softmax, reductions.
#include <ATen/ops/abs.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/amin.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/argmin.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sqrt.h>
#include <ATen/ops/sum.h>

#include "train/torch/kernel.h"

namespace kvant::train::plugin {

Kernel make_gemm(const NodeView& node) {
  const double alpha = node.real("alpha", 1), beta = node.real("beta", 1);
  const bool trans_a = node.integer("transA", 0) != 0, trans_b = node.integer("transB", 0) != 0;
  return [=](Frame& frame) {
    const at::Tensor a = trans_a ? frame.in(0).t() : frame.in(0);
    const at::Tensor& b = frame.in(1);
    const at::Tensor c = frame.optional(2);
    if (alpha == 1 && beta == 1 && (!c.defined() || (c.dim() == 1 && c.size(0) == b.size(trans_b ? 0 : 1)))) {
      return frame.out(0, at::linear(a, trans_b ? b : b.t(), c));
    }
    at::Tensor y = at::matmul(a, trans_b ? b.t() : b);
    if (alpha != 1) y = y * alpha;
    if (c.defined()) y = y + (beta != 1 ? c * beta : c);
    frame.out(0, y);
  };
}

Kernel make_matmul(const NodeView&) {
  return [](Frame& frame) { frame.out(0, at::matmul(frame.in(0), frame.in(1))); };
}

Kernel make_einsum(const NodeView& node) {
  const std::string equation = node.text("equation", "");
  return [equation](Frame& frame) {
    std::vector<at::Tensor> operands;
    for (size_t i = 0; i < frame.size(); ++i) operands.push_back(frame.in(i));
    frame.out(0, at::einsum(equation, operands));
  };
}

Kernel make_softmax(const NodeView& node) {
  const int64_t axis = node.integer("axis", -1);
  return [axis](Frame& frame) { frame.out(0, at::softmax(frame.in(0), axis)); };
}

Kernel make_log_softmax(const NodeView& node) {
  const int64_t axis = node.integer("axis", -1);
  return [axis](Frame& frame) { frame.out(0, at::log_softmax(frame.in(0), axis)); };
}

namespace {

using Reduction = at::Tensor (*)(const at::Tensor&, at::IntArrayRef, bool);

Reduction reduction_of(const std::string& op) {
  using T = const at::Tensor&;
  using Axes = at::IntArrayRef;
  if (op == "ReduceMean")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::mean(x, axes, keep); };
  if (op == "ReduceSum")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::sum(x, axes, keep); };
  if (op == "ReduceMax")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::amax(x, axes, keep); };
  if (op == "ReduceMin")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::amin(x, axes, keep); };
  if (op == "ReduceL1")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::sum(at::abs(x), axes, keep); };
  if (op == "ReduceSumSquare")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::sum(at::mul(x, x), axes, keep); };
  if (op == "ReduceLogSumExp")
    return [](T x, Axes axes, bool keep) -> at::Tensor { return at::logsumexp(x, axes, keep); };
  return [](T x, Axes axes, bool keep) -> at::Tensor { return at::sqrt(at::sum(at::mul(x, x), axes, keep)); };
}

}  // namespace

Kernel make_reduce(const NodeView& node) {
  const Reduction reduce = reduction_of(node.op());
  const Ints given = node.integers("axes");
  const bool keep = node.integer("keepdims", 1) != 0, noop = node.integer("noop_with_empty_axes", 0) != 0;
  return [=](Frame& frame) {
    const at::Tensor& x = frame.in(0);
    Ints axes = frame.has(1) ? frame.ints(1) : given;
    if (axes.empty() && noop) return frame.out(0, x);
    for (int64_t i = 0, all = axes.empty(); all && i < x.dim(); ++i) axes.push_back(i);
    frame.out(0, reduce(x, axes, keep));
  };
}

Kernel make_arg_extreme(const NodeView& node) {
  const int64_t axis = node.integer("axis", 0);
  const bool keep = node.integer("keepdims", 1) != 0, least = node.op() == "ArgMin";
  if (node.integer("select_last_index", 0) != 0) refuse("select_last_index is not supported in training");
  return [=](Frame& frame) {
    frame.out(0, least ? at::argmin(frame.in(0), axis, keep) : at::argmax(frame.in(0), axis, keep));
  };
}

Kernel make_cum_sum(const NodeView& node) {
  const bool exclusive = node.integer("exclusive", 0) != 0, reverse = node.integer("reverse", 0) != 0;
  return [=](Frame& frame) {
    const int64_t axis = axis_of(frame.ints(1).at(0), frame.in(0).dim());
    const at::Tensor x = reverse ? frame.in(0).flip(axis) : frame.in(0);
    at::Tensor y = at::cumsum(x, axis);
    if (exclusive) y = y - x;
    frame.out(0, reverse ? y.flip(axis) : y);
  };
}

}  // namespace kvant::train::plugin
