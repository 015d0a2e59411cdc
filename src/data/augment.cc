// SPDX-License-Identifier: Apache-2.0
#include "data/augment.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"

namespace kvant::data {
namespace {

constexpr int64_t kMaxPad = 4096;

uint8_t to_byte(double value) { return static_cast<uint8_t>(std::clamp(std::lrint(value), 0L, 255L)); }

// Each sample moved away from (factor > 1) or towards `anchor(i)`, the value that factor 0 gives.
template <class Anchor>
void blend(Image& image, double factor, Anchor anchor) {
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const double base = anchor(i);
    image.pixels[i] = to_byte(base + (image.pixels[i] - base) * factor);
  }
}

double draw_factor(double strength, Random& random) {
  return random.uniform(static_cast<float>(std::max(0.0, 1.0 - strength)),
                        static_cast<float>(1.0 + strength));
}

void jitter(const Augment& augment, Image& image, Random& random) {
  if (augment.brightness > 0) {
    blend(image, draw_factor(augment.brightness, random), [](size_t) { return 0.0; });
  }
  if (augment.contrast > 0) {
    const Image gray = to_gray(image);
    double sum = 0;
    for (const uint8_t value : gray.pixels) sum += value;
    const double mean = sum / static_cast<double>(gray.pixels.size());
    blend(image, draw_factor(augment.contrast, random), [mean](size_t) { return mean; });
  }
  if (augment.saturation > 0 && image.channels == 3) {
    const Image gray = to_gray(image);
    blend(image, draw_factor(augment.saturation, random),
          [&](size_t i) { return static_cast<double>(gray.pixels[i / 3]); });
  }
}

// The place (top, left) of the crop in the padded picture, without making it.
Image shifted(const Image& image, int64_t down, int64_t right) {
  Image result(image.height, image.width, image.channels);
  const int64_t top = std::max<int64_t>(0, -down);
  const int64_t bottom = std::min(image.height, image.height - down);
  const int64_t left = std::max<int64_t>(0, -right);
  const int64_t count = std::min(image.width, image.width - right) - left;
  if (count <= 0) return result;
  for (int64_t y = top; y < bottom; ++y) {
    const auto from = image.pixels.begin() + ((y + down) * image.width + left + right) * image.channels;
    std::copy_n(from, count * image.channels,
                result.pixels.begin() + (y * image.width + left) * image.channels);
  }
  return result;
}

}  // namespace

void validate(const Augment& augment, const Preprocess& preprocess) {
  if (augment.pad_crop < 0 || augment.pad_crop > kMaxPad) {
    fail("augmentation: the padding of the random crop is {}, outside 0..{}", augment.pad_crop, kMaxPad);
  }
  if (!(augment.area_low >= 0 && augment.area_low <= 1)) {
    fail("augmentation: the smallest area of a random resized crop is {}, outside 0..1", augment.area_low);
  }
  if (augment.area_low > 0 && preprocess.crop.empty()) {
    fail("augmentation: a random resized crop needs a size to resize to; set --crop");
  }
  for (const double strength : {augment.brightness, augment.contrast, augment.saturation}) {
    if (!(strength >= 0 && strength <= 10))
      fail("augmentation: a colour jitter of {} is outside 0..10", strength);
  }
}

Random sample_random(uint64_t seed, int64_t epoch, int64_t index) {
  const uint64_t of_epoch = Random(Random(seed).next() + static_cast<uint64_t>(epoch)).next();
  return Random(Random(of_epoch + static_cast<uint64_t>(index)).next());
}

Image random_resized_crop(const Augment& augment, const Preprocess& preprocess, const Image& image,
                          Random& random) {
  constexpr int kAttempts = 10;
  const double area = static_cast<double>(image.height) * static_cast<double>(image.width);
  const float log_ratio = std::log(4.0f / 3.0f);
  int64_t height = 0;
  int64_t width = 0;
  int64_t top = 0;
  int64_t left = 0;
  for (int attempt = 0; attempt < kAttempts && height == 0; ++attempt) {
    const double target = area * random.uniform(static_cast<float>(augment.area_low), 1.0f);
    const double ratio = std::exp(static_cast<double>(random.uniform(-log_ratio, log_ratio)));
    const int64_t w = std::lrint(std::sqrt(target * ratio));
    const int64_t h = std::lrint(std::sqrt(target / ratio));
    if (w < 1 || h < 1 || w > image.width || h > image.height) continue;
    height = h;
    width = w;
    top = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.height - h + 1)));
    left = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.width - w + 1)));
  }
  if (height == 0) {  // the largest centred part with a ratio in range
    height = std::min(image.height, std::max<int64_t>(1, image.width * 4 / 3));
    width = std::min(image.width, std::max<int64_t>(1, image.height * 4 / 3));
    top = (image.height - height) / 2;
    left = (image.width - width) / 2;
  }
  Preprocess to_crop = preprocess;
  to_crop.resize = {preprocess.crop.front(), preprocess.crop.back()};
  to_crop.crop.clear();
  return fit(to_crop, crop(image, top, left, height, width));
}

Image flipped(const Image& image) {
  Image result(image.height, image.width, image.channels);
  for (int64_t y = 0; y < image.height; ++y) {
    for (int64_t x = 0; x < image.width; ++x) {
      for (int64_t c = 0; c < image.channels; ++c) result.at(y, image.width - 1 - x, c) = image.at(y, x, c);
    }
  }
  return result;
}

Image vary(const Augment& augment, Image image, Random& random) {
  if (augment.pad_crop > 0) {
    const auto places = static_cast<uint64_t>(2 * augment.pad_crop + 1);
    const int64_t down = static_cast<int64_t>(random.below(places)) - augment.pad_crop;
    const int64_t right = static_cast<int64_t>(random.below(places)) - augment.pad_crop;
    image = shifted(image, down, right);
  }
  if (augment.flip && random.uniform() < 0.5f) image = flipped(image);
  jitter(augment, image, random);
  return image;
}

}  // namespace kvant::data
