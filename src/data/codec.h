// SPDX-License-Identifier: Apache-2.0
// The decoders behind decode_image, one file per picture format.
#pragma once

#include <span>
#include <string_view>

#include "data/image.h"

namespace kvant::data {

// As decode_image, for bytes known to begin like this format.
Image decode_jpeg(std::span<const std::byte> bytes, std::string_view name);
Image decode_png(std::span<const std::byte> bytes, std::string_view name);

// Fails if a picture is empty or has more than kMaxPixels.
void check_extent(int64_t height, int64_t width, std::string_view name);

}  // namespace kvant::data
