// SPDX-License-Identifier: Apache-2.0
// Random variation of training images, on 8-bit pixels. Everything random comes from (seed, epoch, index), so
// the same sample of the same epoch is the same image whatever thread makes it.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "data/image.h"
#include "data/preprocess.h"

namespace kvant::data {

struct Augment {
  int64_t pad_crop = 0;  // pad by so many black pixels on each side, then crop back at a random place
  bool flip = false;     // mirror left-right with probability 1/2
  // torchvision's RandomResizedCrop instead of resize and centre crop: a part of area fraction in [area_low,
  // 1] and ratio in [3/4, 4/3], resized to the Preprocess's crop. 0: off; 0.08 is torchvision's default.
  double area_low = 0.0;
  // Factor drawn from [1 - x, 1 + x], each; order fixed: brightness, contrast, saturation. 0: off.
  double brightness = 0.0;
  double contrast = 0.0;
  double saturation = 0.0;

  bool any() const {
    return pad_crop > 0 || flip || area_low > 0 || brightness > 0 || contrast > 0 || saturation > 0;
  }
  friend bool operator==(const Augment&, const Augment&) = default;
};

// Fails on a value out of range, and if area_low is set but `preprocess` has no crop to resize to.
void validate(const Augment& augment, const Preprocess& preprocess);

// The generator of one sample.
Random sample_random(uint64_t seed, int64_t epoch, int64_t index);

// RandomResizedCrop of the decoded image to the crop of `preprocess`; called instead of fit() when area_low
// is set.
Image random_resized_crop(const Augment& augment, const Preprocess& preprocess, const Image& image,
                          Random& random);
// Pad-crop, flip and colour jitter of a fitted image.
Image vary(const Augment& augment, Image image, Random& random);
// Mirrored left-right.
Image flipped(const Image& image);

}  // namespace kvant::data
