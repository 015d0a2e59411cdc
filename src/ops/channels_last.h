// SPDX-License-Identifier: Apache-2.0
// What the channels-last operators of docs/lowered-ops.md share: layout turns and the convolution's plan.
#pragma once

#include <string_view>

#include "ops/convolution.h"

namespace kvant::ops {

// [N,H,W,C] to [N,C,H,W] and back.
Tensor to_channels_first(const Tensor& x);
Tensor to_channels_last(const Tensor& x);
Shape to_channels_first(const Shape& shape);
Shape to_channels_last(const Shape& shape);

// Fails unless a known shape has four dimensions.
void require_nhwc(std::string_view op, const std::optional<Shape>& shape);
// Type rule of NHWC convolutions; `w` as [K, C/group, kh, kw].
std::optional<Shape> nhwc_convolution_shape(std::string_view op, const ir::Attributes& attributes,
                                            const ir::Type& x, const ir::Type& w);
// Accumulators [N,H,W,K], row-major, of x [N,C,H,W] and w [K,C/group,kh,kw]; the shape of the result.
struct NhwcResult {
  Shape shape;
  std::vector<double> values;
};
NhwcResult convolve_nhwc(std::string_view op, const ir::Attributes& attributes, const Shape& x_shape,
                         std::span<const double> x, const Shape& w_shape, std::span<const double> w);
// Fails unless input i, where present, is a residual of the result's shape and of an allowed type.
void check_residual(std::string_view op, const ir::Type& residual, const std::optional<Shape>& result,
                    bool codes_too);

}  // namespace kvant::ops
