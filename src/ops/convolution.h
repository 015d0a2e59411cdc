// SPDX-License-Identifier: Apache-2.0
// The arithmetic of all convolutions: cross-correlation and its transpose over 1 to 3 spatial axes, in double
// (see panel_product.h), and the attribute and shape rules that Conv, ConvTranspose, ConvInteger, QLinearConv
// share.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "ir/op_def.h"
#include "ops/window.h"

namespace kvant::ops {

struct Convolution {
  int64_t batch = 1, in_channels = 1, out_channels = 1, group = 1;
  WindowAxes axes;
  int64_t input_plane() const { return axes[0].input * axes[1].input * axes[2].input; }
  int64_t output_plane() const { return axes[0].output * axes[1].output * axes[2].output; }
  int64_t taps() const { return axes[0].kernel * axes[1].kernel * axes[2].kernel; }
};

// y[N,K,out...] from x[N,C,in...] and w[K,C/group,kernel...]; padding contributes 0.
std::vector<double> convolve(const Convolution& conv, std::span<const double> x, std::span<const double> w);
// y[N,K,out...] from x[N,C,in...] and w[C,K/group,kernel...]: every input element adds its multiple of the
// kernel at out = in * stride + tap * dilation - pad_begin.
std::vector<double> convolve_transposed(const Convolution& conv, std::span<const double> x,
                                        std::span<const double> w);

// y[n,k,...] += bias[k]
void add_bias(std::vector<double>& y, const Convolution& conv, std::span<const double> bias);

// Type rule of the forward convolutions: output shape from the types of x and w (ranks, channels, group,
// kernel checked as far as they are known). Fails naming `op`.
std::optional<Shape> convolution_shape(std::string_view op, const ir::Attributes& attributes,
                                       const ir::Type& x, const ir::Type& w);
// The same for known shapes, ready to run.
struct ConvolutionPlan {
  Convolution conv;
  Shape output;
};
ConvolutionPlan plan_convolution(std::string_view op, const ir::Attributes& attributes, const Shape& x,
                                 const Shape& w);

// Fails unless the (known) shape is {channels}.
void require_per_channel(std::string_view what, const std::optional<Shape>& shape, int64_t channels);
// The attributes of every convolution.
std::vector<ir::AttributeDef> convolution_attributes();

}  // namespace kvant::ops
