// SPDX-License-Identifier: Apache-2.0
#include "data/resize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/file.h"
#include "data/dataset.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::message_of;

// The picture of the golden values: pixel(y, x, c) = (7 x^2 + 29 y (c + 1) + 5 x y + 60 c) mod 256.
Image golden_input() {
  Image image(9, 13, 3);
  for (int64_t y = 0; y < 9; ++y) {
    for (int64_t x = 0; x < 13; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        image.at(y, x, c) = static_cast<uint8_t>((7 * x * x + 29 * y * (c + 1) + 5 * x * y + 60 * c) % 256);
      }
    }
  }
  return image;
}

// Pillow 13.0.0: Image.resize((5, 4), BILINEAR), and so on.
const std::vector<uint8_t> kBilinear = {
    42,  123, 152, 117, 152, 133, 144, 151, 135, 108, 166, 122, 134, 151, 150, 111, 113, 136, 129, 123,
    131, 121, 135, 131, 118, 114, 127, 154, 126, 144, 157, 135, 124, 123, 144, 142, 131, 140, 131, 136,
    125, 129, 143, 120, 143, 145, 140, 108, 133, 125, 134, 136, 132, 108, 139, 120, 132, 144, 133, 116};
const std::vector<uint8_t> kBicubic = {
    30,  121, 154, 119, 154, 134, 150, 152, 134, 102, 172, 121, 135, 151, 150, 113, 113, 133, 134, 120,
    130, 114, 135, 129, 118, 108, 127, 162, 122, 147, 163, 135, 127, 118, 149, 144, 135, 138, 133, 138,
    125, 128, 139, 118, 146, 144, 141, 105, 133, 125, 137, 133, 131, 103, 141, 119, 133, 144, 138, 113};
const std::vector<uint8_t> kGrayBilinear = {
    81,  108, 152, 151, 149, 144, 151, 140, 125, 124, 120, 133, 137, 120, 139, 140, 105, 127, 144, 136,
    112, 111, 131, 118, 162, 148, 122, 148, 130, 141, 133, 134, 138, 113, 143, 131, 119, 120, 138, 135};
const std::vector<uint8_t> kEnlargedBicubic = {
    43,  45,  50,  60,  74,  98,  112, 58,  60,  65,  76,  90,  112, 124, 88,  91,  98,  111, 125, 141, 149,
    110, 114, 123, 140, 151, 141, 133, 121, 126, 136, 159, 165, 111, 78,  126, 131, 142, 168, 171, 97,  52};

TEST(Resize, EqualsPillowOnGoldenValues) {
  const Image image = golden_input();
  const Image gray = to_gray(image);
  EXPECT_EQ(resize(image, 4, 5, Interpolation::Bilinear).pixels, kBilinear);
  EXPECT_EQ(resize(image, 4, 5, Interpolation::Bicubic).pixels, kBicubic);
  EXPECT_EQ(resize(gray, 5, 8, Interpolation::Bilinear).pixels, kGrayBilinear);
  EXPECT_EQ(resize(crop(gray, 0, 0, 3, 4), 6, 7, Interpolation::Bicubic).pixels, kEnlargedBicubic);
}

TEST(Resize, WindowEqualsCropOfTheWhole) {
  const Image image = test::scene(53, 71, 3);
  for (const auto interpolation : {Interpolation::Bilinear, Interpolation::Bicubic}) {
    for (const auto& [height, width] : {std::pair{30, 40}, {53, 40}, {30, 71}, {53, 71}, {90, 111}}) {
      const Window window{7, 9, 20, 25};
      EXPECT_EQ(resize_window(image, height, width, interpolation, window),
                crop(resize(image, height, width, interpolation), window.top, window.left, window.height,
                     window.width))
          << height << "x" << width;
    }
  }
}

TEST(Resize, ToASinglePixelIsTheWeightedMean) {
  const Image flat = [] {
    Image image(40, 30, 1);
    std::fill(image.pixels.begin(), image.pixels.end(), uint8_t{77});
    return image;
  }();
  EXPECT_EQ(resize(flat, 1, 1, Interpolation::Bicubic).pixels, std::vector<uint8_t>{77});
  EXPECT_EQ(resize(flat, 3, 300, Interpolation::Bilinear).pixels, std::vector<uint8_t>(900, 77));
}

TEST(Resize, NamesInterpolations) {
  EXPECT_EQ(interpolation_named("bicubic"), Interpolation::Bicubic);
  EXPECT_EQ(message_of([] { interpolation_named("lanczos"); }),
            "unknown interpolation 'lanczos' (known: bilinear, bicubic)");
}

constexpr const char* kPillowScript = R"py(
import sys
import PIL
from PIL import Image
for line in open(sys.argv[1]):
    src, dst, w, h, out_w, out_h, mode, how = line.split()
    image = Image.frombytes(mode, (int(w), int(h)), open(src, 'rb').read())
    how = {'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC}[how]
    out_w, out_h = int(out_w), int(out_h)
    vertical_first = image.height > out_h and image.height - out_h > 2 * (image.width - out_w)
    if int(PIL.__version__.split('.')[0]) < 13 and vertical_first:
        image = image.resize((image.width, out_h), how)
    open(dst, 'wb').write(image.resize((out_w, out_h), how).tobytes())
)py";

// Photographs where the sample is at hand, else made pictures that went through JPEG.
std::vector<Image> photographs() {
  std::vector<Image> result;
  const std::string sample = KVANT_SOURCE_DIR "/../shared/data/imagenet-sample/images.tar";
  if (std::filesystem::exists(sample)) {
    const Dataset photos = open("csv:" + sample).spread(8);
    for (int64_t i = 0; i < photos.size(); ++i) result.push_back(photos.image(i));
  }
  for (const int64_t channels : {1, 3}) {
    result.push_back(
        decode_image(test::bytes_of(test::encode_jpeg(test::scene(233, 317, channels))), "scene"));
  }
  return result;
}

TEST(Resize, EqualsPillowOnPhotographs) {
  const char* python = std::getenv("KVANT_PYTHON");
  if (python == nullptr || std::system((std::string(python) + " -c 'import PIL' 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "Pillow is not installed (KVANT_PYTHON names the Python that has it)";
  }
  const test::TemporaryFolder folder;
  std::string jobs;
  std::vector<Image> ours;
  std::vector<std::string> theirs;
  for (const Image& photo : photographs()) {
    const std::string raw =
        folder.write(std::to_string(ours.size()) + ".raw",
                     {reinterpret_cast<const char*>(photo.pixels.data()), photo.pixels.size()});
    for (const auto interpolation : {Interpolation::Bilinear, Interpolation::Bicubic}) {
      for (const auto& [height, width] :
           {std::pair<int64_t, int64_t>{224, 224}, {96, 131}, {300, 401}, {photo.height, 64}}) {
        theirs.push_back(folder.path() + "/out" + std::to_string(ours.size()));
        ours.push_back(resize(photo, height, width, interpolation));
        jobs += fmt::format("{} {} {} {} {} {} {} {}\n", raw, theirs.back(), photo.width, photo.height, width,
                            height, photo.channels == 1 ? "L" : "RGB", name(interpolation));
      }
    }
  }
  const std::string script = folder.write("resize.py", kPillowScript);
  const std::string list = folder.write("jobs.txt", jobs);
  ASSERT_EQ(std::system((std::string(python) + " " + script + " " + list).c_str()), 0);
  int64_t differing = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const std::string reference = read_text(theirs[i]);
    ASSERT_EQ(reference.size(), ours[i].pixels.size());
    for (size_t k = 0; k < reference.size(); ++k) {
      const int difference = std::abs(int{ours[i].pixels[k]} - int{static_cast<uint8_t>(reference[k])});
      ASSERT_LE(difference, 1) << theirs[i] << " sample " << k;
      differing += difference;
    }
  }
  RecordProperty("differing_samples", std::to_string(differing));
  std::printf("%zu resized pictures, %lld samples differ from Pillow's\n", ours.size(),
              static_cast<long long>(differing));
}

}  // namespace
}  // namespace kvant::data
