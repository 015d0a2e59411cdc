// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg. Its errors leave by longjmp, so the functions between setjmp and the library own
// nothing.
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
// jpeglib.h needs size_t and FILE from the two above.
#include <jpeglib.h>
// jerror.h needs jpeglib.h.
#include <jerror.h>

#include <algorithm>

#include "base/error.h"
#include "data/codec.h"

namespace kvant::data {
namespace {

constexpr int kMaxScans = 500;  // of a progressive file; each costs a walk over the whole picture

struct Decoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  jmp_buf escape{};
  char message[JMSG_LENGTH_MAX] = "";
};

Decoder& decoder_of(j_common_ptr jpeg) { return *static_cast<Decoder*>(jpeg->client_data); }

[[noreturn]] void leave(j_common_ptr jpeg) {
  Decoder& decoder = decoder_of(jpeg);
  decoder.errors.format_message(jpeg, decoder.message);
  longjmp(decoder.escape, 1);
}

// Warnings that leave the pixels right. All others mean that data is missing or wrong.
bool harmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_NOT_SEQUENTIAL ||
         code == JWRN_BOGUS_PROGRESSION || code == JWRN_JFIF_MAJOR || code == JWRN_TOO_MUCH_DATA;
}

void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && !harmless(jpeg->err->msg_code)) leave(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  Decoder& decoder = decoder_of(jpeg);
  if (decoder.jpeg.input_scan_number <= kMaxScans) return;
  snprintf(decoder.message, sizeof decoder.message, "more than %d scans", kMaxScans);
  longjmp(decoder.escape, 1);
}

bool read_header(Decoder& decoder, const unsigned char* bytes, size_t size) {
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = leave;
  decoder.errors.emit_message = on_message;
  jpeg.client_data = &decoder;
  if (setjmp(decoder.escape) != 0) return false;
  jpeg_create_decompress(&jpeg);
  decoder.progress.progress_monitor = on_progress;
  jpeg.progress = &decoder.progress;
  jpeg_mem_src(&jpeg, bytes, size);
  jpeg_read_header(&jpeg, TRUE);
  if (jpeg.jpeg_color_space == JCS_GRAYSCALE) {
    jpeg.out_color_space = JCS_GRAYSCALE;
  } else if (jpeg.jpeg_color_space == JCS_CMYK || jpeg.jpeg_color_space == JCS_YCCK) {
    jpeg.out_color_space = JCS_CMYK;
  } else {
    jpeg.out_color_space = JCS_RGB;
  }
  return true;
}

// `pixels` has room for height * width * components of the output colour space.
bool read_pixels(Decoder& decoder, unsigned char* pixels) {
  jpeg_decompress_struct& jpeg = decoder.jpeg;
  if (setjmp(decoder.escape) != 0) return false;
  jpeg_start_decompress(&jpeg);
  const size_t stride = static_cast<size_t>(jpeg.output_width) * static_cast<size_t>(jpeg.output_components);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = pixels + jpeg.output_scanline * stride;
    jpeg_read_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_decompress(&jpeg);
  return true;
}

// Adobe's programs store CMYK inverted. R = (255 - K) - C * (255 - K) / 255, as Pillow.
Image cmyk_to_rgb(const Image& cmyk, int flip) {
  Image rgb(cmyk.height, cmyk.width, 3);
  for (size_t i = 0; i < cmyk.pixels.size() / 4; ++i) {
    const int light = 255 - (cmyk.pixels[i * 4 + 3] ^ flip);
    for (size_t c = 0; c < 3; ++c) {
      const int product = (cmyk.pixels[i * 4 + c] ^ flip) * light + 128;
      rgb.pixels[i * 3 + c] =
          static_cast<uint8_t>(std::clamp(light - ((product + (product >> 8)) >> 8), 0, 255));
    }
  }
  return rgb;
}

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, std::string_view name) {
  Decoder decoder;
  struct Release {
    jpeg_decompress_struct* jpeg;
    ~Release() { jpeg_destroy_decompress(jpeg); }
  } release{&decoder.jpeg};
  const auto corrupt = [&] { fail("cannot decode {} (corrupt JPEG: {})", name, decoder.message); };
  if (!read_header(decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) corrupt();
  check_extent(decoder.jpeg.image_height, decoder.jpeg.image_width, name);
  const bool cmyk = decoder.jpeg.out_color_space == JCS_CMYK;
  const int channels = cmyk ? 4 : decoder.jpeg.out_color_space == JCS_GRAYSCALE ? 1 : 3;
  Image image(decoder.jpeg.image_height, decoder.jpeg.image_width, channels);
  if (!read_pixels(decoder, image.pixels.data())) corrupt();
  return cmyk ? cmyk_to_rgb(image, decoder.jpeg.saw_Adobe_marker != 0 ? 255 : 0) : image;
}

}  // namespace kvant::data
