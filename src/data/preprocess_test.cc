// SPDX-License-Identifier: Apache-2.0
#include "data/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/augment.h"
#include "data/test_files.h"

namespace kvant::data {
namespace {

using test::message_of;
using test::scene;
using testing::ElementsAre;
using testing::HasSubstr;

Image pixel(uint8_t r, uint8_t g, uint8_t b) {
  Image image(1, 1, 3);
  image.pixels = {r, g, b};
  return image;
}

std::vector<float> applied(const char* name, const Image& image) {
  return apply(parse_preprocess(name), image).to_floats();
}

TEST(Preprocess, NamedArithmetic) {
  const Image image = pixel(255, 0, 51);
  EXPECT_THAT(applied("none", image), ElementsAre(255, 0, 51));
  EXPECT_THAT(applied("scale", image), ElementsAre(1, 0, 51 / 255.0f));
  EXPECT_THAT(applied("keras-tf", image), ElementsAre(1, -1, 51 / 127.5f - 1));
  EXPECT_THAT(applied("keras-caffe", image), ElementsAre(51 - 103.939f, 0 - 116.779f, 255 - 123.68f));
  const std::vector<float> expected = {(1.0f - 0.485f) / 0.229f, (0.0f - 0.456f) / 0.224f,
                                       (51 / 255.0f - 0.406f) / 0.225f};
  EXPECT_EQ(applied("keras-torch", image), expected);
}

TEST(Preprocess, TorchvisionGeometry) {
  const Image image = scene(375, 500, 3);
  const Preprocess torchvision = parse_preprocess("torchvision");
  const Image fitted = fit(torchvision, image);
  // 500 * 256 / 375 = 341.33 is cut to 341; (341 - 224) / 2 = 58.5 goes to the even 58.
  EXPECT_EQ(fitted, crop(resize(image, 256, 341, Interpolation::Bilinear), 16, 58, 224, 224));
  EXPECT_EQ(apply(torchvision, image).shape(), (Shape{3, 224, 224}));
  EXPECT_EQ(apply(torchvision, scene(600, 300, 1)).shape(), (Shape{3, 224, 224}));
}

TEST(Preprocess, LayoutsAndChannels) {
  const Image image = scene(4, 5, 3);
  Preprocess p;
  p.layout = Layout::Nhwc;
  const Tensor nhwc = apply(p, image);
  EXPECT_EQ(nhwc.shape(), (Shape{4, 5, 3}));
  EXPECT_EQ(nhwc.data<float>()[7], image.pixels[7]);
  p.layout = Layout::Nchw;
  const Tensor nchw = apply(p, image);
  EXPECT_EQ(nchw.data<float>()[20 + 6], image.at(1, 1, 1));
  p.channels = Channels::Bgr;
  EXPECT_EQ(apply(p, image).data<float>()[6], image.at(1, 1, 2));
  p.channels = Channels::Gray;
  EXPECT_EQ(apply(p, image).shape(), (Shape{1, 4, 5}));
  EXPECT_EQ(apply(p, image).data<float>()[3], to_gray(image).pixels[3]);
}

TEST(Preprocess, TextRoundTrips) {
  for (const std::string& name : preprocess_names()) {
    const Preprocess p = parse_preprocess(name);
    EXPECT_EQ(p.name, name);
    EXPECT_EQ(parse_preprocess(to_text(p)), p) << to_text(p);
  }
  const Preprocess own{.name = "none",
                       .resize = {96, 128},
                       .crop = {80, 90},
                       .interpolation = Interpolation::Bicubic,
                       .divisor = 3,
                       .mean = {0.1},
                       .std = {0.3, 0.7, 1.0 / 3},
                       .layout = Layout::Nhwc,
                       .channels = Channels::Bgr};
  EXPECT_EQ(parse_preprocess(to_text(own)), own);
}

TEST(Preprocess, RefusesWrongText) {
  const auto message = [](const char* text) { return message_of([&] { parse_preprocess(text); }); };
  EXPECT_THAT(message("torchvison"), HasSubstr("unknown preprocessing 'torchvison' (nearest: torchvision"));
  EXPECT_THAT(message("{\"divisor\": "), HasSubstr("preprocessing text is not valid JSON"));
  EXPECT_THAT(message("{\"resise\": [3]}"), HasSubstr("unknown key 'resise' (nearest: resize"));
  EXPECT_THAT(message("{\"resize\": \"big\"}"), HasSubstr("wrong value for 'resize': \"big\""));
  EXPECT_THAT(message("{\"resize\": [1, 2, 3]}"), HasSubstr("resize takes one or two numbers, not 3"));
  EXPECT_THAT(message("{\"crop\": [0]}"), HasSubstr("crop 0 is outside 1..32768"));
  EXPECT_THAT(message("{\"std\": [0]}"), HasSubstr("std must be above 0"));
  EXPECT_THAT(message("{\"mean\": [1, 2]}"), HasSubstr("mean takes one number or three, not 2"));
  EXPECT_THAT(message("{\"divisor\": 0}"), HasSubstr("divisor must be above 0"));
  EXPECT_THAT(message("{\"layout\": \"chwn\"}"), HasSubstr("unknown layout 'chwn'"));
  EXPECT_THAT(message("{\"channels\": \"cmyk\"}"), HasSubstr("unknown channels 'cmyk'"));
}

TEST(Preprocess, ParsesExtents) {
  EXPECT_THAT(parse_extent("256"), ElementsAre(256));
  EXPECT_THAT(parse_extent("240x320"), ElementsAre(240, 320));
  EXPECT_THAT(parse_extent("0"), ElementsAre());
  EXPECT_THAT(message_of([] { parse_extent("24y"); }), HasSubstr("'24y' is not a size"));
  EXPECT_THAT(message_of([] { parse_extent("1x2x3"); }), HasSubstr("'1x2x3' is not a size"));
}

TEST(Preprocess, RefusesWhatDoesNotFit) {
  EXPECT_THAT(
      message_of([] { fit({.crop = {224}}, scene(100, 300, 3)); }),
      HasSubstr(
          "a crop of 224x224 does not fit an image of 100x300; add --resize (for example --resize 256)"));
  EXPECT_THAT(message_of([] { fit({.resize = {30000}}, scene(1, 2000, 3)); }), HasSubstr("too large"));
  EXPECT_THAT(message_of([] {
                apply({.mean = {1, 2, 3}}, scene(4, 4, 1));
              }),
              HasSubstr("mean has 3 values, but the images have 1 channels; set --channels"));
  EXPECT_THAT(
      message_of([] {
        require_fit({3, 375, 500}, {3, 224, 224}, "a.jpg");
      }),
      HasSubstr(
          "a.jpg is 3x375x500 after preprocessing, but the model takes 3x224x224; set --resize, --crop"));
  EXPECT_EQ(message_of([] {
              require_fit({3, 375, 500}, {3, kUnknownDim, kUnknownDim}, "a.jpg");
            }),
            "no error");
}

TEST(Augment, IsTheSameForTheSameSample) {
  const Image image = scene(40, 50, 3);
  const Augment augment{.pad_crop = 4, .flip = true, .brightness = 0.4, .contrast = 0.4, .saturation = 0.4};
  const auto make = [&](uint64_t seed, int64_t epoch, int64_t index) {
    Random random = sample_random(seed, epoch, index);
    return vary(augment, image, random);
  };
  EXPECT_EQ(make(1, 2, 3), make(1, 2, 3));
  EXPECT_NE(make(1, 2, 3), make(2, 2, 3));
  EXPECT_NE(make(1, 2, 3), make(1, 3, 3));
  EXPECT_NE(make(1, 2, 3), make(1, 2, 4));
}

TEST(Augment, PadCropMovesByAtMostThePaddingAndFillsWithBlack) {
  const Image image = [] {
    Image white(6, 7, 1);
    std::fill(white.pixels.begin(), white.pixels.end(), uint8_t{255});
    return white;
  }();
  std::set<std::string> seen;
  for (int64_t i = 0; i < 300; ++i) {
    Random random = sample_random(5, 0, i);
    const Image moved = vary({.pad_crop = 2}, image, random);
    EXPECT_EQ(moved.at(3, 3, 0), 255);
    seen.insert({moved.pixels.begin(), moved.pixels.end()});
  }
  EXPECT_EQ(seen.size(), 25u);
  Random random = sample_random(5, 0, 0);
  EXPECT_EQ(vary({.pad_crop = 100}, image, random).pixels.size(), image.pixels.size());
}

TEST(Augment, FlipsHalfOfTheImages) {
  const Image image = scene(3, 5, 3);
  EXPECT_EQ(flipped(image).at(1, 0, 2), image.at(1, 4, 2));
  EXPECT_EQ(flipped(flipped(image)), image);
  int64_t flips = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    Random random = sample_random(9, 1, i);
    flips += vary({.flip = true}, image, random) == image ? 0 : 1;
  }
  EXPECT_NEAR(static_cast<double>(flips), 500, 60);
}

TEST(Augment, RandomResizedCropStaysInsideAndVaries) {
  const Image image = scene(60, 90, 3);
  const Preprocess p{.crop = {32, 24}};
  std::set<std::string> seen;
  for (int64_t i = 0; i < 50; ++i) {
    Random random = sample_random(1, 0, i);
    const Image part = random_resized_crop({.area_low = 0.08}, p, image, random);
    ASSERT_EQ(part.height, 32);
    ASSERT_EQ(part.width, 24);
    seen.insert({part.pixels.begin(), part.pixels.end()});
  }
  EXPECT_EQ(seen.size(), 50u);
  Random random(1);
  EXPECT_EQ(random_resized_crop({.area_low = 1}, p, scene(2, 400, 1), random).pixels.size(), 32u * 24u);
}

TEST(Augment, JitterMovesTowardsItsAnchor) {
  const Image image = scene(20, 20, 3);
  for (int64_t i = 0; i < 20; ++i) {
    Random random = sample_random(3, 0, i);
    const Image dark = vary({.brightness = 0.5}, image, random);
    const double factor = static_cast<double>(dark.at(9, 9, 0)) / image.at(9, 9, 0);
    EXPECT_TRUE(factor > 0.48 && factor < 1.52) << factor;
    Random again = sample_random(4, 0, i);
    const Image pale = vary({.saturation = 1}, scene(20, 20, 1), again);
    EXPECT_EQ(pale, scene(20, 20, 1));
  }
}

TEST(Augment, RefusesOptionsOutOfRange) {
  const auto message = [](const Augment& augment) { return message_of([&] { validate(augment, {}); }); };
  EXPECT_THAT(message({.pad_crop = -1}), HasSubstr("padding of the random crop is -1, outside 0..4096"));
  EXPECT_THAT(message({.area_low = 1.5}),
              HasSubstr("smallest area of a random resized crop is 1.5, outside 0..1"));
  EXPECT_THAT(message({.area_low = 0.5}), HasSubstr("needs a size to resize to; set --crop"));
  EXPECT_THAT(message({.contrast = -1}), HasSubstr("colour jitter of -1 is outside 0..10"));
}

}  // namespace
}  // namespace kvant::data
