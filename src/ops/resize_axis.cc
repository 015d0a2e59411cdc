// SPDX-License-Identifier: Apache-2.0
#include "ops/resize_axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace kvant::ops {
namespace {

template <class T, size_t N>
T choice(const ir::Attributes& attributes, std::string_view attribute,
         const std::array<std::pair<std::string_view, T>, N>& choices) {
  const std::string text = attributes.text(attribute, choices[0].first);
  for (const auto& [name, value] : choices)
    if (name == text) return value;
  fail("Resize: {} is '{}', which is unknown", attribute, text);
}

double source_coordinate(const ResizeRules& rules, const ResizeAxis& axis, int64_t out) {
  const auto x = static_cast<double>(out);
  const auto input = static_cast<double>(axis.input);
  // The resized length before it was rounded to a whole number, as ONNX's reference has it.
  const double output = axis.scale * input;
  switch (rules.coordinates) {
    case CoordinateMode::AlignCorners:
      return output == 1 ? 0.0 : x * (input - 1) / (output - 1);
    case CoordinateMode::Asymmetric:
      return x / axis.scale;
    case CoordinateMode::TfCropAndResize: {
      const double width = (axis.roi_end - axis.roi_begin) * (input - 1);
      if (output == 1) return 0.5 * (axis.roi_begin + axis.roi_end) * (input - 1);
      return axis.roi_begin * (input - 1) + x * width / (output - 1);
    }
    case CoordinateMode::PytorchHalfPixel:
      return output == 1 ? 0.0 : (x + 0.5) / axis.scale - 0.5;
    case CoordinateMode::HalfPixelSymmetric: {
      const double adjustment = static_cast<double>(axis.output) / output;
      return input / 2 * (1 - adjustment) + (x + 0.5) / axis.scale - 0.5;
    }
    case CoordinateMode::HalfPixel:
      break;
  }
  return (x + 0.5) / axis.scale - 0.5;
}

double nearest_index(NearestMode mode, double x) {
  switch (mode) {
    case NearestMode::RoundPreferFloor:
      return std::ceil(x - 0.5);
    case NearestMode::RoundPreferCeil:
      return std::floor(x + 0.5);
    case NearestMode::Floor:
      return std::floor(x);
    case NearestMode::Ceil:
      break;
  }
  return std::ceil(x);
}

// Weight of an element at distance `x` (Keys' cubic; the tent for linear).
double cubic_weight(double x, double a) {
  x = std::abs(x);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
}
double linear_weight(double x) { return std::max(1 - std::abs(x), 0.0); }

ResizeTap weighted_tap(const ResizeRules& rules, const ResizeAxis& axis, double x) {
  const bool cubic = rules.mode == ResizeMode::Cubic;
  // Antialiasing widens the filter when shrinking.
  const double stretch = rules.antialias ? std::min(axis.scale, 1.0) : 1.0;
  const double radius = (cubic ? 2 : 1) / stretch;
  ResizeTap tap;
  double sum = 0;
  const auto last = static_cast<int64_t>(std::ceil(x + radius));
  for (auto i = static_cast<int64_t>(std::floor(x - radius)); i <= last; ++i) {
    const double distance = (static_cast<double>(i) - x) * stretch;
    const double weight = cubic ? cubic_weight(distance, rules.cubic_a) : linear_weight(distance);
    if (weight == 0 || (rules.exclude_outside && (i < 0 || i >= axis.input))) continue;
    tap.index.push_back(std::clamp<int64_t>(i, 0, axis.input - 1));
    tap.weight.push_back(weight);
    sum += weight;
  }
  if (rules.antialias || rules.exclude_outside)
    for (double& weight : tap.weight) weight /= sum;
  return tap;
}

}  // namespace

ResizeRules parse_resize_rules(const ir::Attributes& attributes) {
  using enum CoordinateMode;
  constexpr std::array<std::pair<std::string_view, ResizeMode>, 3> kModes{
      {{"nearest", ResizeMode::Nearest}, {"linear", ResizeMode::Linear}, {"cubic", ResizeMode::Cubic}}};
  constexpr std::array<std::pair<std::string_view, CoordinateMode>, 6> kCoordinates{
      {{"half_pixel", HalfPixel},
       {"half_pixel_symmetric", HalfPixelSymmetric},
       {"pytorch_half_pixel", PytorchHalfPixel},
       {"align_corners", AlignCorners},
       {"asymmetric", Asymmetric},
       {"tf_crop_and_resize", TfCropAndResize}}};
  constexpr std::array<std::pair<std::string_view, NearestMode>, 4> kNearest{
      {{"round_prefer_floor", NearestMode::RoundPreferFloor},
       {"round_prefer_ceil", NearestMode::RoundPreferCeil},
       {"floor", NearestMode::Floor},
       {"ceil", NearestMode::Ceil}}};
  return {.mode = choice(attributes, "mode", kModes),
          .coordinates = choice(attributes, "coordinate_transformation_mode", kCoordinates),
          .nearest = choice(attributes, "nearest_mode", kNearest),
          .cubic_a = attributes.real("cubic_coeff_a", -0.75f),
          .exclude_outside = attributes.integer("exclude_outside", 0) != 0,
          .antialias = attributes.integer("antialias", 0) != 0,
          .extrapolation = attributes.real("extrapolation_value", 0.0f)};
}

std::vector<ResizeTap> resize_taps(const ResizeRules& rules, const ResizeAxis& axis) {
  std::vector<ResizeTap> taps;
  const auto end = static_cast<double>(axis.input - 1);
  for (int64_t out = 0; out < axis.output; ++out) {
    const double x = source_coordinate(rules, axis, out);
    ResizeTap tap;
    if (rules.coordinates == CoordinateMode::TfCropAndResize && (x < 0 || x > end)) {
      tap = {{0}, {1.0}, true};
    } else if (rules.mode == ResizeMode::Nearest) {
      tap = {{static_cast<int64_t>(std::clamp(nearest_index(rules.nearest, x), 0.0, end))}, {1.0}, false};
    } else {
      // Far outside every element is the edge's; the clamp keeps the walk short.
      tap = weighted_tap(rules, axis, std::clamp(x, -4.0 - end, 4.0 + 2 * end));
    }
    if (tap.index.empty()) tap = {{x < 0 ? 0 : axis.input - 1}, {1.0}, false};
    taps.push_back(std::move(tap));
  }
  return taps;
}

}  // namespace kvant::ops
