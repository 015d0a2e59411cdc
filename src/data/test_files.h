// SPDX-License-Identifier: Apache-2.0
// Files that the tests of this folder make for themselves: pictures, archives, idx files, in a folder that
// vanishes.
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
// jpeglib.h needs size_t and FILE from the above.
#include <jpeglib.h>
#include <png.h>
#include <zlib.h>
#include <zstd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "data/image.h"

namespace kvant::data::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "kvant-data-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  // Creates the file with its folders and returns its path.
  std::string write(const std::string& name, std::string_view content) const {
    const std::filesystem::path path = std::filesystem::path(path_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
    return path.string();
  }

 private:
  std::string path_;
};

// The message of the Error that `fn` throws; "no error" if it throws none.
template <class Fn>
std::string message_of(Fn&& fn) {
  try {
    std::forward<Fn>(fn)();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Smooth shapes, edges and some texture, the same everywhere: what a photograph has.
inline Image scene(int64_t height, int64_t width, int64_t channels, int seed = 0) {
  Image image(height, width, channels);
  for (int64_t y = 0; y < height; ++y) {
    for (int64_t x = 0; x < width; ++x) {
      for (int64_t c = 0; c < channels; ++c) {
        const double u = static_cast<double>(x) / static_cast<double>(width);
        const double v = static_cast<double>(y) / static_cast<double>(height);
        const double far = std::hypot(u - 0.5, v - 0.4);
        double value = 110 + 80 * std::sin(6 * u + static_cast<double>(c + seed)) * std::cos(5 * v);
        if (far < 0.2) value = 230 - 300 * far;
        value += static_cast<double>((x * 31 + y * 17 + x * y * 7 + c * 11 + seed) % 23);
        image.at(y, x, c) = static_cast<uint8_t>(std::min(255.0, std::max(0.0, value)));
      }
    }
  }
  return image;
}

struct JpegOptions {
  int quality = 92;
  bool progressive = false;
};

inline std::string encode_jpeg(const Image& image, const JpegOptions& options = {}) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_height = static_cast<JDIMENSION>(image.height);
  jpeg.image_width = static_cast<JDIMENSION>(image.width);
  jpeg.input_components = static_cast<int>(image.channels);
  jpeg.in_color_space = image.channels == 1 ? JCS_GRAYSCALE : image.channels == 4 ? JCS_CMYK : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, options.quality, TRUE);
  if (options.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (int64_t y = 0; y < image.height; ++y) {
    auto* row = const_cast<JSAMPROW>(image.pixels.data() + y * image.width * image.channels);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string result(reinterpret_cast<char*>(memory), size);
  free(memory);
  return result;
}

struct PngFormat {
  int height = 0;
  int width = 0;
  int depth = 8;
  int color_type = PNG_COLOR_TYPE_RGB;
  bool interlaced = false;
  std::vector<png_color> palette;
};

// `rows` holds the rows as the file stores them.
inline std::string encode_png(const PngFormat& format, const std::vector<uint8_t>& rows) {
  std::string result;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop header = png_create_info_struct(png);
  const auto append = [](png_structp p, png_bytep data, size_t size) {
    static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), size);
  };
  png_set_write_fn(png, &result, append, nullptr);
  png_set_IHDR(png, header, static_cast<png_uint_32>(format.width), static_cast<png_uint_32>(format.height),
               format.depth, format.color_type, format.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!format.palette.empty())
    png_set_PLTE(png, header, format.palette.data(), static_cast<int>(format.palette.size()));
  png_write_info(png, header);
  const size_t stride = png_get_rowbytes(png, header);
  std::vector<png_bytep> pointers;
  for (int y = 0; y < format.height; ++y) {
    pointers.push_back(const_cast<png_bytep>(rows.data() + static_cast<size_t>(y) * stride));
  }
  png_write_image(png, pointers.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &header);
  return result;
}

inline std::string encode_png(const Image& image) {
  PngFormat format{static_cast<int>(image.height),
                   static_cast<int>(image.width),
                   8,
                   image.channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                   false,
                   {}};
  return encode_png(format, image.pixels);
}

inline std::string gzip(std::string_view content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string result(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(result.data());
  stream.avail_out = static_cast<uInt>(result.size());
  deflate(&stream, Z_FINISH);
  result.resize(stream.total_out);
  deflateEnd(&stream);
  return result;
}

inline std::string zstd(std::string_view content) {
  std::string result(ZSTD_compressBound(content.size()), '\0');
  result.resize(ZSTD_compress(result.data(), result.size(), content.data(), content.size(), 3));
  return result;
}

// A big-endian idx file of bytes.
inline std::string idx_file(const std::vector<uint32_t>& dims, std::string_view content) {
  std::string result{'\0', '\0', '\x08', static_cast<char>(dims.size())};
  for (const uint32_t dim : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) result += static_cast<char>(dim >> shift & 0xff);
  }
  return result + std::string(content);
}

struct TarFile {
  std::string path;
  std::string content;
  char type = '0';
  std::string link = {};
};

inline void set_checksum(std::string& header) {
  std::memset(header.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(header[i]);
  snprintf(header.data() + 148, 8, "%06o", sum);
}

inline std::string tar_entry(const TarFile& file) {
  std::string header(512, '\0');
  std::memcpy(header.data(), file.path.data(), std::min<size_t>(file.path.size(), 100));
  snprintf(header.data() + 124, 12, "%011o", static_cast<unsigned>(file.content.size()));
  header[156] = file.type;
  std::memcpy(header.data() + 157, file.link.data(), std::min<size_t>(file.link.size(), 100));
  std::memcpy(header.data() + 257, "ustar\00000", 8);
  set_checksum(header);
  return header + file.content + std::string((512 - file.content.size() % 512) % 512, '\0');
}

inline std::string tar(const std::vector<TarFile>& files) {
  std::string result;
  for (const TarFile& file : files) result += tar_entry(file);
  return result + std::string(1024, '\0');
}

}  // namespace kvant::data::test
