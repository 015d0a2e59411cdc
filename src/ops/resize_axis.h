// SPDX-License-Identifier: Apache-2.0
// Resize along one axis: where each output coordinate lies in the input, and the input elements it is made
// of.
#pragma once

#include <string>
#include <vector>

#include "ir/attributes.h"
#include "tensor/tensor.h"

namespace kvant::ops {

enum class ResizeMode { Nearest, Linear, Cubic };
enum class CoordinateMode {
  HalfPixel,
  HalfPixelSymmetric,
  PytorchHalfPixel,
  AlignCorners,
  Asymmetric,
  TfCropAndResize
};
enum class NearestMode { RoundPreferFloor, RoundPreferCeil, Floor, Ceil };

// The attributes; an unknown name is an Error.
struct ResizeRules {
  ResizeMode mode = ResizeMode::Nearest;
  CoordinateMode coordinates = CoordinateMode::HalfPixel;
  NearestMode nearest = NearestMode::RoundPreferFloor;
  double cubic_a = -0.75;
  bool exclude_outside = false;
  bool antialias = false;
  float extrapolation = 0;
};
ResizeRules parse_resize_rules(const ir::Attributes& attributes);

struct ResizeAxis {
  int64_t input = 1, output = 1;
  double scale = 1;                   // output / input as the node gives it
  double roi_begin = 0, roi_end = 1;  // of TfCropAndResize
};

// What one output coordinate is made of; `outside` asks for the extrapolation value instead.
struct ResizeTap {
  std::vector<int64_t> index;  // in [0, input)
  std::vector<double> weight;  // sums to 1
  bool outside = false;
};
std::vector<ResizeTap> resize_taps(const ResizeRules& rules, const ResizeAxis& axis);

// All axes of a Resize of a tensor of shape `x`. Exactly one of scales and sizes is given (neither nullptr
// nor empty); fails otherwise, and on what the node cannot mean.
std::vector<ResizeAxis> resize_axes(const ir::Attributes& attributes, const Shape& x, const Tensor* scales,
                                    const Tensor* sizes);

}  // namespace kvant::ops
