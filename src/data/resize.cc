// SPDX-License-Identifier: Apache-2.0
#include "data/resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace kvant::data {
namespace {

// 8 bits of sample and 2 bits of headroom for bicubic's overshoot stay free in 32.
constexpr int kPrecision = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kPrecision - 1);

double triangle(double x) { return std::max(0.0, 1.0 - std::fabs(x)); }

// Keys' cubic with a = -1/2.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

// For each output position the inputs [first, first + count) and their fixed-point weights.
struct Taps {
  std::vector<int64_t> first;
  std::vector<int64_t> count;
  std::vector<int32_t> weight;  // [position][stride]
  int64_t stride = 0;

  const int32_t* of(int64_t position) const { return weight.data() + position * stride; }
};

// Weights for the outputs [begin, begin + size) of an axis scaled from `in` to `out` samples.
Taps make_taps(int64_t in, int64_t out, int64_t begin, int64_t size, Interpolation interpolation) {
  const bool bicubic = interpolation == Interpolation::Bicubic;
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = (bicubic ? 2.0 : 1.0) * stretch;
  Taps taps;
  taps.stride = static_cast<int64_t>(std::ceil(support)) * 2 + 1;
  taps.weight.resize(static_cast<size_t>(size * taps.stride));
  std::vector<double> weights(static_cast<size_t>(taps.stride));
  for (int64_t i = 0; i < size; ++i) {
    const double center = (static_cast<double>(begin + i) + 0.5) * scale;
    const int64_t low = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t high = std::min<int64_t>(static_cast<int64_t>(center + support + 0.5), in);
    const int64_t count = high - low;
    double sum = 0.0;
    for (int64_t k = 0; k < count; ++k) {
      const double x = (static_cast<double>(low + k) - center + 0.5) * (1.0 / stretch);
      weights[static_cast<size_t>(k)] = bicubic ? cubic(x) : triangle(x);
      sum += weights[static_cast<size_t>(k)];
    }
    int32_t* fixed = taps.weight.data() + i * taps.stride;
    for (int64_t k = 0; k < count; ++k) {
      const double w = weights[static_cast<size_t>(k)] / (sum != 0.0 ? sum : 1.0) * (1 << kPrecision);
      fixed[k] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
    }
    taps.first.push_back(low);
    taps.count.push_back(count);
  }
  return taps;
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255)); }

template <int kChannels>
void resample_row(const uint8_t* in, int64_t left, uint8_t* out, const Taps& taps) {
  const auto size = static_cast<int64_t>(taps.first.size());
  for (int64_t x = 0; x < size; ++x) {
    const uint8_t* pixel = in + (taps.first[static_cast<size_t>(x)] - left) * kChannels;
    const int32_t* weight = taps.of(x);
    int32_t sum[kChannels];
    std::fill_n(sum, kChannels, kHalf);
    for (int64_t k = 0; k < taps.count[static_cast<size_t>(x)]; ++k) {
      for (int c = 0; c < kChannels; ++c) sum[c] += pixel[k * kChannels + c] * weight[k];
    }
    for (int c = 0; c < kChannels; ++c) out[x * kChannels + c] = to_byte(sum[c]);
  }
}

// Rows [top, top + rows) of the input, each brought to the window's columns. `left` is the input column that
// image's column 0 holds.
Image horizontal(const Image& image, int64_t left, int64_t top, int64_t rows, const Taps& taps) {
  Image result(rows, static_cast<int64_t>(taps.first.size()), image.channels);
  for (int64_t y = 0; y < rows; ++y) {
    const uint8_t* in = image.pixels.data() + (top + y) * image.width * image.channels;
    uint8_t* out = result.pixels.data() + y * result.width * result.channels;
    if (image.channels == 1) {
      resample_row<1>(in, left, out, taps);
    } else {
      resample_row<3>(in, left, out, taps);
    }
  }
  return result;
}

// `top` is the input row that image's row 0 holds.
Image vertical(const Image& image, int64_t top, const Taps& taps) {
  Image result(static_cast<int64_t>(taps.first.size()), image.width, image.channels);
  const int64_t row = image.width * image.channels;
  std::vector<int32_t> sum(static_cast<size_t>(row));
  for (int64_t y = 0; y < result.height; ++y) {
    std::fill(sum.begin(), sum.end(), kHalf);
    const int64_t first = taps.first[static_cast<size_t>(y)] - top;
    for (int64_t k = 0; k < taps.count[static_cast<size_t>(y)]; ++k) {
      const uint8_t* in = image.pixels.data() + (first + k) * row;
      const int32_t weight = taps.of(y)[k];
      for (int64_t x = 0; x < row; ++x) sum[static_cast<size_t>(x)] += in[x] * weight;
    }
    uint8_t* out = result.pixels.data() + y * row;
    for (int64_t x = 0; x < row; ++x) out[x] = to_byte(sum[static_cast<size_t>(x)]);
  }
  return result;
}

// Which pass comes first decides about the last bit. Pillow 13's rule: the vertical one where the height
// shrinks by more than twice what the width does.
bool vertical_first(const Image& image, int64_t height, int64_t width) {
  return image.height > height && image.height - height > 2 * (image.width - width);
}

}  // namespace

std::string_view name(Interpolation interpolation) {
  return interpolation == Interpolation::Bilinear ? "bilinear" : "bicubic";
}

Interpolation interpolation_named(std::string_view name) {
  if (name == "bilinear") return Interpolation::Bilinear;
  if (name == "bicubic") return Interpolation::Bicubic;
  fail("unknown interpolation '{}' (known: bilinear, bicubic)", name);
}

Image resize(const Image& image, int64_t height, int64_t width, Interpolation interpolation) {
  return resize_window(image, height, width, interpolation, {0, 0, height, width});
}

Image resize_window(const Image& image, int64_t height, int64_t width, Interpolation interpolation,
                    const Window& window) {
  KVANT_CHECK(image.channels == 1 || image.channels == 3, "resize takes 1 or 3 channels");
  KVANT_CHECK(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
                  window.top + window.height <= height && window.left + window.width <= width,
              "window outside the resized image");
  if (height == image.height && width == image.width) {
    return crop(image, window.top, window.left, window.height, window.width);
  }
  if (height == image.height) {
    const Taps columns = make_taps(image.width, width, window.left, window.width, interpolation);
    return horizontal(image, 0, window.top, window.height, columns);
  }
  const Taps rows = make_taps(image.height, height, window.top, window.height, interpolation);
  const int64_t top = rows.first.front();
  const int64_t bottom = rows.first.back() + rows.count.back();
  if (width == image.width) {
    return vertical(crop(image, top, window.left, bottom - top, window.width), top, rows);
  }
  const Taps columns = make_taps(image.width, width, window.left, window.width, interpolation);
  if (vertical_first(image, height, width)) {
    const int64_t left = columns.first.front();
    const int64_t right = columns.first.back() + columns.count.back();
    const Image narrow = vertical(crop(image, top, left, bottom - top, right - left), top, rows);
    return horizontal(narrow, left, 0, window.height, columns);
  }
  return vertical(horizontal(image, 0, top, bottom - top, columns), top, rows);
}

}  // namespace kvant::data
