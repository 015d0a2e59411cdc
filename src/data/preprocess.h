// SPDX-License-Identifier: Apache-2.0
// From a decoded image to what a model takes: resize, centre crop, channel order, divide, normalize, layout.
// The choice has a text form (JSON) that travels in the model's metadata under kPreprocessKey.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/image.h"
#include "data/resize.h"
#include "tensor/tensor.h"

namespace kvant::data {

inline constexpr std::string_view kPreprocessKey = "kvant.preprocess";

enum class Layout { Nchw, Nhwc };
enum class Channels { Stored, Rgb, Bgr, Gray };  // Stored: as the image has them (1 or 3)

std::string_view name(Layout layout);
std::string_view name(Channels channels);
// Unknown names are Errors that list the known ones.
Layout layout_named(std::string_view name);
Channels channels_named(std::string_view name);

// value = (pixel / divisor - mean[c]) / std[c], each step in float; c counts the channels of the output.
struct Preprocess {
  std::string name = "none";    // the named recipe that it began as
  std::vector<int64_t> resize;  // {} none; {s}: the shorter side to s, ratio kept; {h, w}: exactly
  std::vector<int64_t> crop;    // {} none; {s}: the s x s centre; {h, w}
  Interpolation interpolation = Interpolation::Bilinear;
  double divisor = 1.0;
  std::vector<double> mean;  // {} is 0; one value for all channels or one each
  std::vector<double> std;   // {} is 1; the same
  Layout layout = Layout::Nchw;
  Channels channels = Channels::Stored;

  friend bool operator==(const Preprocess&, const Preprocess&) = default;
};

// torchvision (resize 256, crop 224, ImageNet mean and std) · keras-tf ([-1,1]) · keras-caffe (BGR, mean
// subtraction) · keras-torch (ImageNet mean and std, no resize) · scale ([0,1]) · none (0..255 as floats).
const std::vector<std::string>& preprocess_names();
// A name of the list or the JSON text that to_text wrote. Fails on an unknown name (with the nearest), an
// unknown key, a value out of range.
Preprocess parse_preprocess(std::string_view text);
std::string to_text(const Preprocess& preprocess);
// "256", "224x224" -> {256}, {224, 224}; "" and "0" -> {}. For flags.
std::vector<int64_t> parse_extent(std::string_view text);

// Resize, crop and channel count (not order), still 8 bits: what may be kept in memory between epochs.
// Fails if the crop does not fit.
Image fit(const Preprocess& preprocess, const Image& image);
// Shape of one sample made from an image that fit() returned: CxHxW or HxWxC.
Shape sample_shape(const Preprocess& preprocess, const Image& fitted);

// The arithmetic of a Preprocess for a given number of channels, as tables: pixel -> float.
class Normalizer {
 public:
  // Fails if mean or std have neither one value nor `channels`.
  Normalizer(const Preprocess& preprocess, int64_t channels);
  // Writes the sample to `out`, which has height * width * channels elements.
  void write(const Image& fitted, std::span<float> out) const;

 private:
  Layout layout_;
  std::vector<int64_t> source_;  // output channel -> channel of the image
  std::vector<float> table_;     // [output channel][256]
};

// fit + normalize: a float tensor CxHxW or HxWxC.
Tensor apply(const Preprocess& preprocess, const Image& image);

// Fails with the sentence a user needs if a sample of shape `actual` does not fit the model's input
// `expected` (without the batch dimension; kUnknownDim fits anything). `what` names the sample.
void require_fit(const Shape& actual, const Shape& expected, std::string_view what);

}  // namespace kvant::data
