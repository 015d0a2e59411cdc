// SPDX-License-Identifier: Apache-2.0
// PNG through libpng's row interface (its simplified one applies gamma, which no training pipeline does). Its
// errors leave by longjmp, so the functions between setjmp and the library own nothing.
#include <png.h>
#include <setjmp.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/error.h"
#include "data/codec.h"

namespace kvant::data {
namespace {

struct Decoder {
  png_structp png = nullptr;
  png_infop header = nullptr;
  const unsigned char* bytes = nullptr;
  size_t left = 0;
  char message[200] = "not enough memory";
  ~Decoder() { png_destroy_read_struct(&png, &header, nullptr); }
};

[[noreturn]] void on_error(png_structp png, png_const_charp what) {
  Decoder& decoder = *static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder.message, sizeof decoder.message, "%s", what);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep out, size_t count) {
  Decoder& decoder = *static_cast<Decoder*>(png_get_io_ptr(png));
  if (count > decoder.left) png_error(png, "the file ends too early");
  std::memcpy(out, decoder.bytes, count);
  decoder.bytes += count;
  decoder.left -= count;
}

bool read_header(Decoder& decoder) {
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, on_error, on_warning);
  if (decoder.png == nullptr) return false;
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  decoder.header = png_create_info_struct(decoder.png);
  if (decoder.header == nullptr) return false;
  png_set_read_fn(decoder.png, &decoder, on_read);
  // Our own limit speaks, with its own sentence.
  png_set_user_limits(decoder.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_read_info(decoder.png, decoder.header);
  return true;
}

bool set_transforms(Decoder& decoder) {
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  const int type = png_get_color_type(decoder.png, decoder.header);
  if (type == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(decoder.png);
  if (type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(decoder.png);
  png_set_scale_16(decoder.png);
  png_set_strip_alpha(decoder.png);
  png_set_interlace_handling(decoder.png);
  png_read_update_info(decoder.png, decoder.header);
  return true;
}

bool read_pixels(Decoder& decoder, unsigned char** rows) {
  if (setjmp(png_jmpbuf(decoder.png)) != 0) return false;
  png_read_image(decoder.png, rows);
  png_read_end(decoder.png, nullptr);
  return true;
}

}  // namespace

Image decode_png(std::span<const std::byte> bytes, std::string_view name) {
  Decoder decoder;
  decoder.bytes = reinterpret_cast<const unsigned char*>(bytes.data());
  decoder.left = bytes.size();
  const auto corrupt = [&] { fail("cannot decode {} (corrupt PNG: {})", name, decoder.message); };
  if (!read_header(decoder)) corrupt();
  const int64_t height = png_get_image_height(decoder.png, decoder.header);
  const int64_t width = png_get_image_width(decoder.png, decoder.header);
  check_extent(height, width, name);
  if (!set_transforms(decoder)) corrupt();
  Image image(height, width, png_get_channels(decoder.png, decoder.header));
  const size_t stride = static_cast<size_t>(image.width * image.channels);
  KVANT_CHECK(stride == png_get_rowbytes(decoder.png, decoder.header), "PNG rows have an unexpected size");
  std::vector<unsigned char*> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * stride;
  if (!read_pixels(decoder, rows.data())) corrupt();
  return image;
}

}  // namespace kvant::data
