// SPDX-License-Identifier: Apache-2.0
#include "data/image.h"

#include <algorithm>
#include <cctype>
#include <cstring>

#include "base/error.h"
#include "data/codec.h"

namespace kvant::data {
namespace {

bool begins(std::span<const std::byte> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

}  // namespace

void check_extent(int64_t height, int64_t width, std::string_view name) {
  if (height <= 0 || width <= 0) fail("cannot decode {}: it has no pixels ({}x{})", name, width, height);
  if (height > kMaxPixels / width) {
    fail("cannot decode {}: {}x{} pixels are more than the limit of {}", name, width, height, kMaxPixels);
  }
}

Image decode_image(std::span<const std::byte> bytes, std::string_view name) {
  if (begins(bytes, "\xff\xd8")) return decode_jpeg(bytes, name);
  if (begins(bytes, "\x89PNG\r\n\x1a\n")) return decode_png(bytes, name);
  if (bytes.empty()) fail("cannot decode {}: the file is empty", name);
  fail("cannot decode {}: it is neither a JPEG nor a PNG file", name);
}

bool has_image_ending(std::string_view path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return false;
  std::string ending(path.substr(dot + 1));
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return ending == "jpg" || ending == "jpeg" || ending == "png";
}

Image crop(const Image& image, int64_t top, int64_t left, int64_t height, int64_t width) {
  KVANT_CHECK(top >= 0 && left >= 0 && height > 0 && width > 0 && top + height <= image.height &&
                  left + width <= image.width,
              "crop outside the image");
  Image result(height, width, image.channels);
  const size_t row = static_cast<size_t>(width * image.channels);
  for (int64_t y = 0; y < height; ++y) {
    const int64_t from = ((top + y) * image.width + left) * image.channels;
    std::memcpy(result.pixels.data() + static_cast<size_t>(y) * row, image.pixels.data() + from, row);
  }
  return result;
}

Image to_gray(const Image& image) {
  if (image.channels == 1) return image;
  Image gray(image.height, image.width, 1);
  for (size_t i = 0; i < gray.pixels.size(); ++i) {
    const uint8_t* rgb = image.pixels.data() + i * 3;
    gray.pixels[i] =
        static_cast<uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
  }
  return gray;
}

Image to_rgb(Image image) {
  if (image.channels != 1) return image;
  Image rgb(image.height, image.width, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    std::fill_n(rgb.pixels.begin() + static_cast<std::ptrdiff_t>(i * 3), 3, image.pixels[i]);
  }
  return rgb;
}

}  // namespace kvant::data
