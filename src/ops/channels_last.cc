// SPDX-License-Identifier: Apache-2.0
#include "ops/channels_last.h"

namespace kvant::ops {
namespace {

constexpr int64_t kToFirst[] = {0, 3, 1, 2};
constexpr int64_t kToLast[] = {0, 2, 3, 1};

}  // namespace

Tensor to_channels_first(const Tensor& x) { return transpose(x, kToFirst); }
Tensor to_channels_last(const Tensor& x) { return transpose(x, kToLast); }
Shape to_channels_first(const Shape& s) { return {s[0], s[3], s[1], s[2]}; }
Shape to_channels_last(const Shape& s) { return {s[0], s[2], s[3], s[1]}; }

void require_nhwc(std::string_view op, const std::optional<Shape>& shape) {
  if (shape && shape->size() != 4) fail("{}: {} is not [N,H,W,C]", op, to_string(*shape));
}

std::optional<Shape> nhwc_convolution_shape(std::string_view op, const ir::Attributes& attributes,
                                            const ir::Type& x, const ir::Type& w) {
  require_nhwc(op, x.shape);
  require_nhwc(op, w.shape);
  ir::Type first = x;
  if (first.shape) first.shape = to_channels_first(*first.shape);
  const auto shape = convolution_shape(op, attributes, first, w);
  return shape ? std::optional(to_channels_last(*shape)) : std::nullopt;
}

NhwcResult convolve_nhwc(std::string_view op, const ir::Attributes& attributes, const Shape& x_shape,
                         std::span<const double> x, const Shape& w_shape, std::span<const double> w) {
  const ConvolutionPlan plan = plan_convolution(op, attributes, x_shape, w_shape);
  const std::vector<double> y = convolve(plan.conv, x, w);
  NhwcResult result{to_channels_last(plan.output), std::vector<double>(y.size())};
  const int64_t channels = plan.conv.out_channels, plane = plan.conv.output_plane();
  for (int64_t n = 0; n < plan.conv.batch; ++n)
    for (int64_t p = 0; p < plane; ++p)
      for (int64_t k = 0; k < channels; ++k)
        result.values[static_cast<size_t>((n * plane + p) * channels + k)] =
            y[static_cast<size_t>((n * channels + k) * plane + p)];
  return result;
}

void check_residual(std::string_view op, const ir::Type& residual, const std::optional<Shape>& result,
                    bool codes_too) {
  const bool codes = residual.dtype == DType::Int8 || residual.dtype == DType::UInt8;
  if (residual.dtype != DType::Float32 && !(codes_too && codes))
    fail("{}: the residual holds {}", op, name(residual.dtype));
  if (!residual.shape || !result) return;
  bool fits = residual.shape->size() == result->size();
  for (size_t d = 0; fits && d < result->size(); ++d)
    fits = (*residual.shape)[d] == (*result)[d] || (*residual.shape)[d] == kUnknownDim ||
           (*result)[d] == kUnknownDim;
  if (!fits)
    fail("{}: the residual is {}; the result is {}", op, to_string(*residual.shape), to_string(*result));
}

}  // namespace kvant::ops
