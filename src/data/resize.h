// SPDX-License-Identifier: Apache-2.0
// Antialiased resampling, equal to Pillow's Image.resize: separable, the filter's support grows with the
// reduction, coefficients in 22-bit fixed point, 8-bit samples between the two passes, whose order is that of
// Pillow 13 (before, the horizontal one always came first, which moves some samples by 1 or 2 of 255).
#pragma once

#include <optional>
#include <string_view>

#include "data/image.h"

namespace kvant::data {

enum class Interpolation { Bilinear, Bicubic };

std::string_view name(Interpolation interpolation);
// "bilinear", "bicubic"; an unknown name is an Error that lists them.
Interpolation interpolation_named(std::string_view name);

// A part of the resized picture, in its pixels.
struct Window {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
};

// `image` brought to height x width, both at least 1.
Image resize(const Image& image, int64_t height, int64_t width, Interpolation interpolation);
// The same as crop(resize(...), window), at the cost of the window only. The window lies inside.
Image resize_window(const Image& image, int64_t height, int64_t width, Interpolation interpolation,
                    const Window& window);

}  // namespace kvant::data
