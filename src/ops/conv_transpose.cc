// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ops/convolution.h"
#include "ops/real_values.h"
#include "ops/shape_rules.h"

namespace kvant::ops {
namespace {

struct OutputSize {
  std::vector<int64_t> padding;  // output_padding: elements added at the end
  std::vector<int64_t> wanted;   // output_shape: spatial sizes; empty where pads decide
};

OutputSize output_size(const ir::Attributes& attributes, size_t spatial) {
  OutputSize result{attributes.integers("output_padding"), attributes.integers("output_shape")};
  if (result.padding.empty()) result.padding.assign(spatial, 0);
  // Some exporters write the whole shape, batch and channels in front.
  if (result.wanted.size() == spatial + 2)
    result.wanted.erase(result.wanted.begin(), result.wanted.begin() + 2);
  if (result.padding.size() != spatial)
    fail("ConvTranspose: output_padding has {} entries; there are {} spatial axes", result.padding.size(),
         spatial);
  if (!result.wanted.empty() && result.wanted.size() != spatial)
    fail("ConvTranspose: output_shape has {} entries; there are {} spatial axes", result.wanted.size(),
         spatial);
  for (const int64_t value : result.padding) require_at_least("output_padding", value, 0);
  for (const int64_t value : result.wanted) require_at_least("output_shape", value, 1);
  return result;
}

// input, kernel and output known; `natural` is the output without any padding.
WindowAxis transposed_axis(const WindowAttributes& window, const OutputSize& size, size_t i, int64_t input) {
  WindowAxis axis{.input = input,
                  .kernel = window.kernel[i],
                  .stride = window.strides[i],
                  .dilation = window.dilations[i]};
  if (input < 1) fail("ConvTranspose: spatial axis {} is empty", i);
  const int64_t natural = axis.stride * (input - 1) + size.padding[i] + (axis.kernel - 1) * axis.dilation + 1;
  const bool same = window.auto_pad == AutoPad::SameUpper || window.auto_pad == AutoPad::SameLower;
  if (!size.wanted.empty() || same) {
    axis.output = size.wanted.empty() ? input * axis.stride : size.wanted[i];
    const int64_t total = std::max<int64_t>(natural - axis.output, 0);
    axis.pad_begin = window.auto_pad == AutoPad::SameUpper ? total / 2 : total - total / 2;
    axis.pad_end = total - axis.pad_begin;
    return axis;
  }
  if (window.auto_pad == AutoPad::NotSet) {
    axis.pad_begin = window.pads_begin[i];
    axis.pad_end = window.pads_end[i];
  }
  axis.output = natural - axis.pad_begin - axis.pad_end;
  if (axis.output < 1)
    fail("ConvTranspose: pads {} and {} leave nothing of the {} output elements of spatial axis {}",
         axis.pad_begin, axis.pad_end, natural, i);
  return axis;
}

int64_t checked_group(const ir::Attributes& attributes, const Shape& x, const Shape& w) {
  const int64_t group = attributes.integer("group", 1);
  if (x.size() != w.size())
    fail("ConvTranspose: the input has {} dimensions and the weight {}; they must be equal", x.size(),
         w.size());
  require_at_least("group", group, 1);
  if (x[1] != kUnknownDim && w[0] != kUnknownDim && x[1] != w[0])
    fail("ConvTranspose: the input has {} channels and the weight {}; they must be equal", x[1], w[0]);
  const int64_t channels = x[1] != kUnknownDim ? x[1] : w[0];
  if (channels != kUnknownDim && channels % group != 0)
    fail("ConvTranspose: {} input channels cannot be split into {} groups", channels, group);
  return group;
}

int64_t output_channels(const Shape& w, int64_t group) {
  if (w[1] == kUnknownDim) return kUnknownDim;
  if (w[1] > (int64_t{1} << 40) / group)
    fail("ConvTranspose: {} groups of {} channels are too many", group, w[1]);
  return w[1] * group;
}

std::vector<Type> infer_conv_transpose(const ir::InferArgs& args) {
  const Type &x = args.inputs[0], &w = args.inputs[1];
  require_dtype("ConvTranspose", DTypes::Floats, x.dtype);
  require_same_dtype("ConvTranspose", x.dtype, w.dtype);
  if (args.has(2)) require_same_dtype("ConvTranspose", x.dtype, args.inputs[2].dtype);
  if (!x.shape || !w.shape) return {{x.dtype, std::nullopt}};
  const size_t spatial = spatial_rank("ConvTranspose", *x.shape);
  const int64_t group = checked_group(args.attributes(), *x.shape, *w.shape);
  const WindowAttributes window = window_attributes(args.attributes(), std::span(*w.shape).subspan(2));
  const OutputSize size = output_size(args.attributes(), spatial);
  Shape shape{(*x.shape)[0], output_channels(*w.shape, group)};
  if (args.has(2)) require_per_channel("ConvTranspose: the bias", args.inputs[2].shape, shape[1]);
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t input = (*x.shape)[i + 2];
    const bool known = input != kUnknownDim && window.kernel[i] != kUnknownDim;
    shape.push_back(known ? transposed_axis(window, size, i, input).output : kUnknownDim);
  }
  return {{x.dtype, shape}};
}

std::vector<Tensor> evaluate_conv_transpose(const ir::EvalArgs& args) {
  const Tensor &x = args.in(0), &w = args.in(1);
  const size_t spatial = spatial_rank("ConvTranspose", x.shape());
  Convolution conv;
  conv.batch = x.dim(0);
  conv.in_channels = x.dim(1);
  conv.group = checked_group(args.attributes(), x.shape(), w.shape());
  conv.out_channels = output_channels(w.shape(), conv.group);
  const WindowAttributes window = window_attributes(args.attributes(), std::span(w.shape()).subspan(2));
  const OutputSize size = output_size(args.attributes(), spatial);
  std::vector<WindowAxis> axes;
  Shape shape{conv.batch, conv.out_channels};
  for (size_t i = 0; i < spatial; ++i) {
    axes.push_back(transposed_axis(window, size, i, x.dim(i + 2)));
    shape.push_back(axes.back().output);
  }
  checked_result("ConvTranspose", shape);
  conv.axes = three_axes(axes);
  std::vector<double> y = convolve_transposed(conv, to_doubles(x), to_doubles(w));
  if (args.has(2)) {
    require_per_channel("ConvTranspose: the bias", args.in(2).shape(), conv.out_channels);
    add_bias(y, conv, to_doubles(args.in(2)));
  }
  return {from_doubles(x.dtype(), shape, y)};
}

std::vector<ir::AttributeDef> attributes_conv_transpose() {
  auto result = convolution_attributes();
  result.push_back({"output_padding", ir::AttributeKind::Integers});
  result.push_back({"output_shape", ir::AttributeKind::Integers});
  return result;
}

}  // namespace

ir::OpDef conv_transpose() {
  return {.name = "ConvTranspose",
          .min_inputs = 2,
          .max_inputs = 3,
          .attributes = attributes_conv_transpose(),
          .traits = ir::Trait::Weighted,
          .infer = infer_conv_transpose,
          .evaluate = evaluate_conv_transpose};
}

}  // namespace kvant::ops
