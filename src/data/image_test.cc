// SPDX-License-Identifier: Apache-2.0
#include "data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::bytes_of;
using test::encode_jpeg;
using test::encode_png;
using test::message_of;
using test::scene;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

Image decode(std::string_view file) { return decode_image(bytes_of(file), "a/picture"); }

double mean_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(int{a.pixels[i]} - int{b.pixels[i]});
  return sum / static_cast<double>(a.pixels.size());
}

TEST(Jpeg, DecodesColorGrayAndProgressive) {
  for (const int64_t channels : {1, 3}) {
    for (const bool progressive : {false, true}) {
      const Image image = scene(61, 83, channels);
      const Image decoded = decode(encode_jpeg(image, {.quality = 98, .progressive = progressive}));
      EXPECT_EQ(decoded.height, 61);
      EXPECT_EQ(decoded.width, 83);
      EXPECT_EQ(decoded.channels, channels);
      EXPECT_LT(mean_difference(decoded, image), channels == 1 ? 2.0 : 6.0);
    }
  }
}

// libjpeg marks CMYK files as Adobe's, whose samples are inverted: 255 - x is the ink.
TEST(Jpeg, TurnsCmykIntoRgb) {
  Image cmyk(8, 8, 4);
  for (size_t i = 0; i < cmyk.pixels.size(); i += 4) {
    cmyk.pixels[i] = 255;      // no cyan
    cmyk.pixels[i + 1] = 0;    // full magenta
    cmyk.pixels[i + 2] = 155;  // 100 of yellow
    cmyk.pixels[i + 3] = 255;  // no black
  }
  const Image decoded = decode(encode_jpeg(cmyk, {.quality = 100}));
  ASSERT_EQ(decoded.channels, 3);
  EXPECT_NEAR(decoded.at(4, 4, 0), 255, 2);
  EXPECT_NEAR(decoded.at(4, 4, 1), 0, 2);
  EXPECT_NEAR(decoded.at(4, 4, 2), 155, 2);
}

TEST(Jpeg, RefusesEveryTruncation) {
  const std::string file = encode_jpeg(scene(32, 32, 3));
  for (size_t size = 2; size + 2 < file.size(); size += 7) {
    EXPECT_THAT(message_of([&] { decode(std::string_view(file).substr(0, size)); }),
                StartsWith("cannot decode a/picture (corrupt JPEG: "))
        << size;
  }
}

TEST(Jpeg, RefusesDamagedData) {
  std::string file = encode_jpeg(scene(64, 64, 3));
  file.replace(file.size() / 2, 40, std::string(40, '\xff'));
  EXPECT_THAT(message_of([&] { decode(file); }),
              AllOf(StartsWith("cannot decode a/picture (corrupt JPEG: "), HasSubstr("orrupt JPEG data")));
}

TEST(Jpeg, RefusesAbsurdSizesBeforeAllocating) {
  std::string file = encode_jpeg(scene(16, 16, 1));
  const size_t frame = file.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  file.replace(frame + 5, 4, "\xff\x00\xff\x00", 4);
  EXPECT_THAT(message_of([&] { decode(file); }),
              HasSubstr("cannot decode a/picture: 65280x65280 pixels are more than the limit of 268435456"));
}

TEST(Png, DecodesColorAndGrayExactly) {
  for (const int64_t channels : {1, 3}) {
    const Image image = scene(19, 23, channels);
    EXPECT_EQ(decode(encode_png(image)), image);
  }
}

TEST(Png, DropsAlphaKeepsColor) {
  const std::vector<uint8_t> rgba = {1, 2, 3, 0, 40, 50, 60, 128};
  const Image decoded = decode(encode_png({1, 2, 8, PNG_COLOR_TYPE_RGB_ALPHA, false, {}}, rgba));
  EXPECT_EQ(decoded.pixels, (std::vector<uint8_t>{1, 2, 3, 40, 50, 60}));
  const Image gray = decode(encode_png({1, 2, 8, PNG_COLOR_TYPE_GRAY_ALPHA, false, {}}, {7, 0, 9, 255}));
  EXPECT_EQ(gray.pixels, (std::vector<uint8_t>{7, 9}));
}

TEST(Png, ScalesSixteenBitsAndExpandsFewBits) {
  const Image deep =
      decode(encode_png({1, 3, 16, PNG_COLOR_TYPE_GRAY, false, {}}, {0, 0, 0x80, 0x80, 0xff, 0xff}));
  EXPECT_EQ(deep.pixels, (std::vector<uint8_t>{0, 128, 255}));
  const Image bits = decode(encode_png({1, 4, 1, PNG_COLOR_TYPE_GRAY, false, {}}, {0b10100000}));
  EXPECT_EQ(bits.pixels, (std::vector<uint8_t>{255, 0, 255, 0}));
}

TEST(Png, ExpandsPalettesAndInterlacing) {
  const test::PngFormat format{2, 2, 8, PNG_COLOR_TYPE_PALETTE, true, {{10, 20, 30}, {40, 50, 60}}};
  const Image decoded = decode(encode_png(format, {0, 1, 1, 0}));
  EXPECT_EQ(decoded.pixels, (std::vector<uint8_t>{10, 20, 30, 40, 50, 60, 40, 50, 60, 10, 20, 30}));
}

TEST(Png, RefusesDamage) {
  const std::string file = encode_png(scene(16, 16, 3));
  EXPECT_THAT(message_of([&] { decode(std::string_view(file).substr(0, file.size() / 2)); }),
              HasSubstr("cannot decode a/picture (corrupt PNG: the file ends too early)"));
  std::string flipped = file;
  flipped[file.size() / 2] = static_cast<char>(flipped[file.size() / 2] ^ 1);
  EXPECT_THAT(message_of([&] { decode(flipped); }), HasSubstr("cannot decode a/picture (corrupt PNG: "));
}

TEST(Png, RefusesAbsurdSizesBeforeAllocating) {
  std::string file = encode_png(scene(4, 4, 1));
  file.replace(16, 8, std::string("\x00\x0f\x00\x00\x00\x0f\x00\x00", 8));
  const auto crc = crc32(0, reinterpret_cast<const Bytef*>(file.data()) + 12, 17);
  for (int i = 0; i < 4; ++i)
    file[29 + static_cast<size_t>(i)] = static_cast<char>(crc >> (24 - 8 * i) & 0xff);
  EXPECT_THAT(message_of([&] { decode(file); }), HasSubstr("983040x983040 pixels are more than the limit"));
}

TEST(Decode, RefusesOtherFiles) {
  EXPECT_EQ(message_of([] { decode("GIF89a....."); }),
            "cannot decode a/picture: it is neither a JPEG nor a PNG file");
  EXPECT_EQ(message_of([] { decode(""); }), "cannot decode a/picture: the file is empty");
}

TEST(Image, ConvertsBetweenGrayAndColor) {
  Image rgb(1, 2, 3);
  rgb.pixels = {255, 0, 0, 10, 200, 30};
  EXPECT_EQ(to_gray(rgb).pixels, (std::vector<uint8_t>{76, 124}));  // Pillow's convert("L")
  EXPECT_EQ(to_rgb(to_gray(rgb)).pixels, (std::vector<uint8_t>{76, 76, 76, 124, 124, 124}));
}

TEST(Image, Crops) {
  const Image image = scene(10, 12, 3);
  const Image part = crop(image, 2, 3, 4, 5);
  EXPECT_EQ(part.height, 4);
  EXPECT_EQ(part.width, 5);
  EXPECT_EQ(part.at(0, 0, 1), image.at(2, 3, 1));
  EXPECT_EQ(part.at(3, 4, 2), image.at(5, 7, 2));
}

TEST(Image, KnowsPictureEndings) {
  EXPECT_TRUE(has_image_ending("a/b.JPG"));
  EXPECT_TRUE(has_image_ending("b.jpeg"));
  EXPECT_FALSE(has_image_ending("labels.csv"));
  EXPECT_FALSE(has_image_ending("png"));
}

}  // namespace
}  // namespace kvant::data
