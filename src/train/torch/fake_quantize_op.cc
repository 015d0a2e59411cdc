// SPDX-License-Identifier: Apache-2.0
#include "train/torch/fake_quantize_op.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "train/fake_quantize.h"
#include "train/torch/kernel.h"

namespace kvant::train::plugin {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Runs of this many elements with one scale: the unit of work, fixed so that sums do not depend on the thread
// count.
constexpr int64_t kRun = 32768;

// x as `channels` runs of memory with one scale each: axis 0 outermost. Both NCHW and NHWC have that;
// anything else is brought to it by a transposed copy, which `restore` undoes.
struct Runs {
  Runs(const at::Tensor& x, int64_t channel_axis, int64_t scales)
      : channels(scales), axis(scales > 1 ? channel_axis : 0) {
    data = arrange(x);
    length = channels > 0 ? data.numel() / channels : 0;
  }
  at::Tensor arrange(const at::Tensor& x) const {
    if (axis > 0) return x.transpose(0, axis).contiguous();
    const bool outermost = channels == 1 || x.stride(0) * x.size(0) == x.numel();
    return x.is_non_overlapping_and_dense() && outermost ? x : x.contiguous();
  }
  // `t` with the strides of `data` (a gradient may come in another layout).
  at::Tensor alike(const at::Tensor& t) const {
    const at::Tensor source = axis > 0 ? t.transpose(0, axis) : t;
    if (source.strides() == data.strides()) return source;
    at::Tensor copy = at::empty_like(data);
    copy.copy_(source);
    return copy;
  }
  at::Tensor restore(const at::Tensor& t) const { return axis > 0 ? t.transpose(0, axis).contiguous() : t; }
  int64_t pieces() const { return (length + kRun - 1) / kRun; }
  // Calls fn(channel, offset, count, piece) for every piece, in parallel.
  template <class Fn>
  void each(const Fn& fn) const {
    const int64_t per_channel = std::max<int64_t>(1, pieces());
    const int64_t total = channels * per_channel;
    const int64_t grain = std::max<int64_t>(1, kRun / std::max<int64_t>(1, std::min(length, kRun)));
    at::parallel_for(0, total, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t channel = i / per_channel, piece = i % per_channel;
        const int64_t start = piece * kRun, count = std::min(kRun, length - start);
        fn(channel, channel * length + start, count, i);
      }
    });
  }

  at::Tensor data;
  int64_t channels, axis, length = 0;
};

float at_channel(const std::vector<double>& list, int64_t c) {
  return static_cast<float>(list[list.size() == 1 ? 0 : static_cast<size_t>(c)]);
}

std::vector<double> widened(const std::vector<float>& list) { return {list.begin(), list.end()}; }

struct FakeQuantizeFunction : torch::autograd::Function<FakeQuantizeFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            int64_t axis, std::vector<double> low, std::vector<double> high, bool batched) {
    context->save_for_backward({x, scale});
    context->saved_data["batched"] = batched;
    context->saved_data["axis"] = axis;
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    const Runs runs(x, axis, scale.numel());
    at::Tensor y = at::empty_like(runs.data);
    const float* in = runs.data.data_ptr<float>();
    float* out = y.data_ptr<float>();
    const float* scales = scale.data_ptr<float>();
    runs.each([&](int64_t c, int64_t offset, int64_t count, int64_t) {
      train::fake_quantize(in + offset, out + offset, count, scales[c], at_channel(low, c),
                           at_channel(high, c));
    });
    return runs.restore(y);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& scale = saved[1];
    const int64_t axis = context->saved_data["axis"].toInt();
    const std::vector<double> low = context->saved_data["low"].toDoubleVector();
    const std::vector<double> high = context->saved_data["high"].toDoubleVector();
    const Runs runs(saved[0], axis, scale.numel());
    const at::Tensor g = runs.alike(gradients[0]);
    at::Tensor gx = at::empty_like(runs.data);
    const float* in = runs.data.data_ptr<float>();
    const float* gradient = g.data_ptr<float>();
    float* out = gx.data_ptr<float>();
    const float* scales = scale.data_ptr<float>();
    if (!scale.requires_grad()) {
      runs.each([&](int64_t c, int64_t o, int64_t n, int64_t) {
        fake_quantize_backward(in + o, gradient + o, out + o, n, scales[c], at_channel(low, c),
                               at_channel(high, c));
      });
      return {runs.restore(gx), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    }
    const int64_t pieces = std::max<int64_t>(1, runs.pieces());
    std::vector<double> sums(static_cast<size_t>(runs.channels * pieces), 0.0);
    runs.each([&](int64_t c, int64_t o, int64_t n, int64_t i) {
      sums[static_cast<size_t>(i)] = fake_quantize_backward_scale(in + o, gradient + o, out + o, n, scales[c],
                                                                  at_channel(low, c), at_channel(high, c));
    });
    const bool batched = context->saved_data["batched"].toBool() && saved[0].dim() > 0 && axis != 0;
    const double elements =
        static_cast<double>(runs.length) / static_cast<double>(batched ? saved[0].size(0) : 1);
    at::Tensor gs = at::empty_like(scale);
    for (int64_t c = 0; c < runs.channels; ++c) {
      double sum = 0;
      for (int64_t p = 0; p < pieces; ++p) sum += sums[static_cast<size_t>(c * pieces + p)];
      const double share = elements * static_cast<double>(at_channel(high, c));
      gs.data_ptr<float>()[c] = static_cast<float>(sum / std::sqrt(std::max(1.0, share)));
    }
    return {runs.restore(gx), gs, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// `values` (one, or one per channel) beside x: along its channels, on its device.
at::Tensor along(const at::Tensor& values, const at::Tensor& x, int64_t axis) {
  if (values.numel() == 1) return values.reshape({}).to(x.device());
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(axis)] = values.numel();
  return values.to(x.device()).reshape(shape);
}

at::Tensor along(const std::vector<double>& values, const at::Tensor& x, int64_t axis) {
  return along(at::tensor(values, at::TensorOptions(at::kFloat)), x, axis);
}

// Sum of `t` over all but the channels of `scale`, in double.
at::Tensor sum_by_scale(const at::Tensor& t, const at::Tensor& scale, int64_t axis) {
  const at::Tensor wide = t.to(at::kDouble);
  if (scale.numel() == 1) return wide.sum().reshape(scale.sizes());
  std::vector<int64_t> others;
  for (int64_t i = 0; i < t.dim(); ++i) {
    if (i != axis) others.push_back(i);
  }
  return (others.empty() ? wide : wide.sum(others)).reshape(scale.sizes());
}

struct ComposedFunction : torch::autograd::Function<ComposedFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            int64_t axis, std::vector<double> low, std::vector<double> high, bool batched) {
    context->save_for_backward({x, scale});
    context->saved_data["batched"] = batched;
    context->saved_data["axis"] = axis;
    context->saved_data["low"] = low;
    context->saved_data["high"] = high;
    const at::Tensor s = along(scale, x, axis);
    return (x / s).maximum(along(low, x, axis)).minimum(along(high, x, axis)).round() * s;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &scale = saved[1], &g = gradients[0];
    const int64_t axis = context->saved_data["axis"].toInt();
    const at::Tensor low = along(context->saved_data["low"].toDoubleVector(), x, axis);
    const at::Tensor high = along(context->saved_data["high"].toDoubleVector(), x, axis);
    const at::Tensor v = x / along(scale, x, axis), q = v.round();
    const at::Tensor inside = q.ge(low).logical_and(q.le(high));
    const at::Tensor gx = at::where(inside, g, at::zeros_like(g));
    if (!scale.requires_grad())
      return {gx, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    const at::Tensor code = q.maximum(low).minimum(high);
    const at::Tensor sum = sum_by_scale(g * at::where(inside, code - v, code), scale, axis);
    const bool batched = context->saved_data["batched"].toBool() && x.dim() > 0 && axis != 0;
    const double elements = static_cast<double>(x.numel()) / static_cast<double>(scale.numel()) /
                            static_cast<double>(batched ? x.size(0) : 1);
    const at::Tensor share = (high.to(at::kDouble) * elements).clamp_min(1.0).sqrt();
    const at::Tensor gs = share.numel() == scale.numel() ? sum / share.reshape(scale.sizes()) : sum / share;
    return {gx, gs.to(at::kFloat), at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor fake_quantize_composed(const at::Tensor& x, const at::Tensor& scale, const CodeRanges& range) {
  return ComposedFunction::apply(x, scale, range.axis, widened(range.low), widened(range.high),
                                 range.batched);
}

at::Tensor fake_quantize(const at::Tensor& x, const at::Tensor& scale, const CodeRanges& range) {
  if (x.scalar_type() != at::kFloat) refuse("fake-quantize takes float32");
  if (!x.is_cpu()) return fake_quantize_composed(x, scale, range);
  return FakeQuantizeFunction::apply(x, scale, range.axis, widened(range.low), widened(range.high),
                                     range.batched);
}

at::Tensor magnitudes_composed(const at::Tensor& x, int64_t axis, int64_t channels) {
  if (channels == 1) return x.abs().amax().reshape({1});
  return x.abs().transpose(0, axis).reshape({channels, -1}).amax(1);
}

void track_range_composed(const at::Tensor& x, at::Tensor scale, const CodeRanges& range, double momentum) {
  c10::AutoGradMode no_grad(false);
  at::Tensor runs = scale.numel() > 1 ? x.transpose(0, range.axis) : x;
  runs = runs.reshape({scale.numel(), -1});
  const at::Tensor least = runs.amin(1).cpu(), most = runs.amax(1).cpu(), host = scale.cpu();
  const std::vector<double> low = widened(range.low), high = widened(range.high);
  for (int64_t c = 0; c < scale.numel(); ++c) {
    const float wanted = covering_scale(least.data_ptr<float>()[c], most.data_ptr<float>()[c],
                                        at_channel(low, c), at_channel(high, c));
    if (!(wanted >= std::numeric_limits<float>::min()) || !std::isfinite(wanted)) continue;
    float& s = host.data_ptr<float>()[c];
    s = static_cast<float>(momentum * static_cast<double>(s) + (1 - momentum) * static_cast<double>(wanted));
  }
  scale.copy_(host);
}

void track_range(const at::Tensor& x, at::Tensor scale, const CodeRanges& range, double momentum) {
  c10::AutoGradMode no_grad(false);
  if (!x.is_cpu()) return track_range_composed(x.detach(), scale, range, momentum);
  const Runs runs(x.detach(), range.axis, scale.numel());
  const int64_t pieces = std::max<int64_t>(1, runs.pieces());
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> least(static_cast<size_t>(runs.channels * pieces), kInfinity);
  std::vector<float> most(least.size(), -kInfinity);
  const float* in = runs.data.data_ptr<float>();
  runs.each([&](int64_t, int64_t offset, int64_t count, int64_t i) {
    widen_range(in + offset, count, &least[static_cast<size_t>(i)], &most[static_cast<size_t>(i)]);
  });
  const std::vector<double> low = widened(range.low), high = widened(range.high);
  float* scales = scale.data_ptr<float>();
  for (int64_t c = 0; c < runs.channels; ++c) {
    const auto first = least.begin() + c * pieces, top = most.begin() + c * pieces;
    const float wanted =
        covering_scale(*std::min_element(first, first + pieces), *std::max_element(top, top + pieces),
                       at_channel(low, c), at_channel(high, c));
    if (!(wanted >= std::numeric_limits<float>::min()) || !std::isfinite(wanted)) continue;
    scales[c] = static_cast<float>(momentum * static_cast<double>(scales[c]) +
                                   (1 - momentum) * static_cast<double>(wanted));
  }
}

Kernel make_fake_quantize(const NodeView& node) {
  CodeRanges range;
  range.axis = node.integer("axis", -1);
  for (const int64_t v : node.integers("low")) range.low.push_back(static_cast<float>(v));
  for (const int64_t v : node.integers("high")) range.high.push_back(static_cast<float>(v));
  range.batched = node.integer("activation", 0) != 0;
  const int64_t track = node.integer("track", 0);
  return [range, track](Frame& frame) {
    const at::Tensor& scale = frame.in(1);
    if (scale.numel() > 1 && frame.in(0).size(range.axis) != scale.numel())
      refuse("the scales do not fit the axis");
    if (track != 0 && frame.mode.track_ranges) {
      track_range(frame.in(0), scale, range, track == 1 ? 0.0 : frame.mode.range_momentum);
    }
    frame.out(0, fake_quantize(frame.in(0), scale, range));
  };
}

}  // namespace kvant::train::plugin
