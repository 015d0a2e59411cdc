// SPDX-License-Identifier: Apache-2.0
#include "ops/convolution.h"

#include <algorithm>

#include "ops/panel_product.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

// Start coordinates of up to kPanelWidth output positions.
struct Positions {
  int64_t count = 0;
  int64_t start[kPanelWidth][3] = {};
};

Positions positions_at(const Convolution& conv, int64_t first) {
  Positions result;
  result.count = std::min(kPanelWidth, conv.output_plane() - first);
  for (int64_t j = 0; j < result.count; ++j) {
    int64_t rest = first + j;
    for (size_t axis = 3; axis-- > 0;) {
      result.start[j][axis] = conv.axes[axis].start(rest % conv.axes[axis].output);
      rest /= conv.axes[axis].output;
    }
  }
  return result;
}

// Offset in a plane of the element under tap `tap` of a window that starts at `start`, or -1 in the padding.
int64_t tap_offset(const Convolution& conv, const int64_t (&start)[3], const int64_t (&tap)[3]) {
  int64_t offset = 0;
  for (size_t axis = 0; axis < 3; ++axis) {
    const int64_t at = start[axis] + tap[axis] * conv.axes[axis].dilation;
    if (at < 0 || at >= conv.axes[axis].input) return -1;
    offset = offset * conv.axes[axis].input + at;
  }
  return offset;
}

// For every tap and position: the element's offset in its plane, or -1.
void fill_offsets(const Convolution& conv, const Positions& positions, std::vector<int64_t>& offsets) {
  size_t i = 0;
  for (int64_t d = 0; d < conv.axes[0].kernel; ++d)
    for (int64_t h = 0; h < conv.axes[1].kernel; ++h)
      for (int64_t w = 0; w < conv.axes[2].kernel; ++w) {
        const int64_t tap[3] = {d, h, w};
        for (int64_t j = 0; j < kPanelWidth; ++j)
          offsets[i++] = j < positions.count ? tap_offset(conv, positions.start[j], tap) : -1;
      }
}

// panel[(channel, tap)][position] from the channels' planes.
void gather(const double* planes, int64_t channels, int64_t plane, const std::vector<int64_t>& offsets,
            double* panel) {
  for (int64_t channel = 0; channel < channels; ++channel, planes += plane)
    for (const int64_t offset : offsets) *panel++ = offset < 0 ? 0.0 : planes[offset];
}

void check_weight(std::string_view op, const Shape& x, const Shape& w, int64_t group) {
  if (x.size() != w.size())
    fail("{}: the input has {} dimensions and the weight {}; they must be equal", op, x.size(), w.size());
  if (group < 1) fail("{}: group is {}; it must be at least 1", op, group);
  if (x[1] != kUnknownDim && w[1] != kUnknownDim &&
      (w[1] > (int64_t{1} << 40) / group || x[1] != w[1] * group))
    fail("{}: the input has {} channels, but the weight takes {} in each of {} groups", op, x[1], w[1],
         group);
  if (w[0] != kUnknownDim && w[0] % group != 0)
    fail("{}: {} output channels cannot be split into {} groups", op, w[0], group);
}

}  // namespace

std::vector<double> convolve(const Convolution& conv, std::span<const double> x, std::span<const double> w) {
  const int64_t in_plane = conv.input_plane(), out_plane = conv.output_plane();
  const int64_t channels = conv.in_channels / conv.group, filters = conv.out_channels / conv.group;
  const int64_t depth = channels * conv.taps();
  std::vector<double> y(static_cast<size_t>(conv.batch * conv.out_channels * out_plane), 0.0);
  if (y.empty() || w.empty()) return y;
  std::vector<double> panel(static_cast<size_t>(depth * kPanelWidth)),
      out(static_cast<size_t>(filters * kPanelWidth));
  std::vector<int64_t> offsets(static_cast<size_t>(conv.taps() * kPanelWidth));
  for (int64_t first = 0; first < out_plane; first += kPanelWidth) {
    const Positions positions = positions_at(conv, first);
    fill_offsets(conv, positions, offsets);
    for (int64_t n = 0; n < conv.batch; ++n)
      for (int64_t g = 0; g < conv.group; ++g) {
        gather(x.data() + (n * conv.in_channels + g * channels) * in_plane, channels, in_plane, offsets,
               panel.data());
        multiply_panel(w.data() + g * filters * depth, depth, filters, depth, panel.data(), out.data());
        double* target = y.data() + (n * conv.out_channels + g * filters) * out_plane + first;
        for (int64_t k = 0; k < filters; ++k)
          std::copy_n(out.data() + k * kPanelWidth, positions.count, target + k * out_plane);
      }
  }
  return y;
}

std::vector<double> convolve_transposed(const Convolution& conv, std::span<const double> x,
                                        std::span<const double> w) {
  // The adjoint of the convolution that maps this one's output to its input: its windows slide over the
  // output.
  Convolution adjoint = conv;
  for (WindowAxis& axis : adjoint.axes) std::swap(axis.input, axis.output);
  const int64_t in_plane = conv.input_plane(), out_plane = conv.output_plane(), taps = conv.taps();
  const int64_t channels = conv.in_channels / conv.group, filters = conv.out_channels / conv.group;
  const int64_t rows = filters * taps;
  std::vector<double> y(static_cast<size_t>(conv.batch * conv.out_channels * out_plane), 0.0);
  if (y.empty() || x.empty() || w.empty()) return y;
  std::vector<double> turned(w.size());  // [group][filter, tap][channel]
  for (int64_t g = 0; g < conv.group; ++g)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t r = 0; r < rows; ++r)
        turned[static_cast<size_t>((g * rows + r) * channels + c)] =
            w[static_cast<size_t>((g * channels + c) * rows + r)];
  std::vector<double> panel(static_cast<size_t>(channels * kPanelWidth), 0.0);
  std::vector<double> out(static_cast<size_t>(rows * kPanelWidth));
  std::vector<int64_t> offsets(static_cast<size_t>(taps * kPanelWidth));
  for (int64_t first = 0; first < in_plane; first += kPanelWidth) {
    const Positions positions = positions_at(adjoint, first);
    fill_offsets(adjoint, positions, offsets);
    for (int64_t n = 0; n < conv.batch; ++n)
      for (int64_t g = 0; g < conv.group; ++g) {
        const double* source = x.data() + (n * conv.in_channels + g * channels) * in_plane + first;
        for (int64_t c = 0; c < channels; ++c)
          std::copy_n(source + c * in_plane, positions.count, panel.data() + c * kPanelWidth);
        multiply_panel(turned.data() + g * rows * channels, channels, rows, channels, panel.data(),
                       out.data());
        double* target = y.data() + (n * conv.out_channels + g * filters) * out_plane;
        for (int64_t k = 0; k < filters; ++k, target += out_plane)
          for (size_t i = 0; i < offsets.size(); ++i)
            if (offsets[i] >= 0) target[offsets[i]] += out[static_cast<size_t>(k * taps * kPanelWidth) + i];
      }
  }
  return y;
}

void add_bias(std::vector<double>& y, const Convolution& conv, std::span<const double> bias) {
  const size_t plane = static_cast<size_t>(conv.output_plane());
  for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i / plane % bias.size()];
}

std::optional<Shape> convolution_shape(std::string_view op, const ir::Attributes& attributes,
                                       const ir::Type& x, const ir::Type& w) {
  if (!x.shape && !w.shape) return std::nullopt;
  Shape any(x.shape ? x.shape->size() : w.shape->size(), kUnknownDim);
  const Shape& input = x.shape ? *x.shape : any;
  const Shape& weight = w.shape ? *w.shape : any;
  const size_t spatial = spatial_rank(op, input);
  check_weight(op, input, weight, attributes.integer("group", 1));
  const WindowAttributes window = window_attributes(attributes, std::span(weight).subspan(2));
  const std::vector<int64_t> sizes = window_output_sizes(window, std::span(input).subspan(2, spatial));
  Shape result{input[0], weight[0]};
  result.insert(result.end(), sizes.begin(), sizes.end());
  return result;
}

ConvolutionPlan plan_convolution(std::string_view op, const ir::Attributes& attributes, const Shape& x,
                                 const Shape& w) {
  ConvolutionPlan plan;
  const ir::Type x_type{.shape = x}, w_type{.shape = w};
  plan.output = checked_result(op, *convolution_shape(op, attributes, x_type, w_type));
  const WindowAttributes window = window_attributes(attributes, std::span(w).subspan(2));
  plan.conv = {.batch = x[0],
               .in_channels = x[1],
               .out_channels = w[0],
               .group = attributes.integer("group", 1),
               .axes = three_axes(resolve_windows(window, std::span(x).subspan(2)))};
  return plan;
}

void require_per_channel(std::string_view what, const std::optional<Shape>& shape, int64_t channels) {
  if (!shape || channels == kUnknownDim) return;
  if (shape->size() != 1 || ((*shape)[0] != kUnknownDim && (*shape)[0] != channels))
    fail("{} is {}; it must hold one value for each of {} channels", what, to_string(*shape), channels);
}

std::vector<ir::AttributeDef> convolution_attributes() {
  using ir::AttributeKind;
  return {{"auto_pad", AttributeKind::Text}, {"dilations", AttributeKind::Integers},
          {"group", AttributeKind::Integer}, {"kernel_shape", AttributeKind::Integers},
          {"pads", AttributeKind::Integers}, {"strides", AttributeKind::Integers}};
}

}  // namespace kvant::ops
