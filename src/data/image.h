// SPDX-License-Identifier: Apache-2.0
// A decoded picture: 8-bit samples, row by row, channels interleaved (HWC). What every dataset of images
// hands out and what resizing, augmentation and preprocessing take.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kvant::data {

struct Image {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;  // 1 gray, 3 RGB
  std::vector<uint8_t> pixels;

  Image() = default;
  // Black.
  Image(int64_t height, int64_t width, int64_t channels)
      : height(height),
        width(width),
        channels(channels),
        pixels(static_cast<size_t>(height) * static_cast<size_t>(width) * static_cast<size_t>(channels)) {}
  uint8_t at(int64_t y, int64_t x, int64_t c) const {
    return pixels[static_cast<size_t>((y * width + x) * channels + c)];
  }
  uint8_t& at(int64_t y, int64_t x, int64_t c) {
    return pixels[static_cast<size_t>((y * width + x) * channels + c)];
  }
  friend bool operator==(const Image&, const Image&) = default;
};

// Larger pictures are refused before memory is taken for them.
inline constexpr int64_t kMaxPixels = int64_t{1} << 28;

// Decodes a JPEG or PNG file's bytes, told apart by their first bytes: gray files give 1 channel, all others
// 3; 16 bits are scaled to 8, alpha is dropped, palettes and CMYK become RGB. `name` is the file in error
// messages
// ("cannot decode NAME (corrupt JPEG: ...)"). Damaged and truncated files are errors, never half a picture.
Image decode_image(std::span<const std::byte> bytes, std::string_view name);

// True for the endings that decode_image can read (.jpg .jpeg .png, any case).
bool has_image_ending(std::string_view path);

// The part of `image` at (top, left); the caller keeps it inside.
Image crop(const Image& image, int64_t top, int64_t left, int64_t height, int64_t width);
// Gray by ITU-R 601-2 luma in 16-bit fixed point, as Pillow's convert("L").
Image to_gray(const Image& image);
// Three equal channels from a gray image; an RGB image comes back as it is.
Image to_rgb(Image image);

}  // namespace kvant::data
