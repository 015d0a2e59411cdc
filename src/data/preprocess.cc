// SPDX-License-Identifier: Apache-2.0
#include "data/preprocess.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::data {
namespace {

constexpr int64_t kMaxExtent = 1 << 15;
const std::vector<double> kImagenetMean = {0.485, 0.456, 0.406};
const std::vector<double> kImagenetStd = {0.229, 0.224, 0.225};

std::vector<Preprocess> named() {
  return {
      {.name = "torchvision",
       .resize = {256},
       .crop = {224},
       .divisor = 255,
       .mean = kImagenetMean,
       .std = kImagenetStd,
       .channels = Channels::Rgb},
      {.name = "keras-tf", .divisor = 127.5, .mean = {1.0}, .channels = Channels::Rgb},
      {.name = "keras-caffe", .mean = {103.939, 116.779, 123.68}, .channels = Channels::Bgr},
      {.name = "keras-torch",
       .divisor = 255,
       .mean = kImagenetMean,
       .std = kImagenetStd,
       .channels = Channels::Rgb},
      {.name = "scale", .divisor = 255},
      {.name = "none"},
  };
}

void validate_extent(const std::vector<int64_t>& extent, const char* what) {
  if (extent.size() > 2) fail("preprocessing: {} takes one or two numbers, not {}", what, extent.size());
  for (const int64_t side : extent) {
    if (side < 1 || side > kMaxExtent) fail("preprocessing: {} {} is outside 1..{}", what, side, kMaxExtent);
  }
}

void validate_values(const std::vector<double>& values, const char* what) {
  if (values.size() != 0 && values.size() != 1 && values.size() != 3) {
    fail("preprocessing: {} takes one number or three, not {}", what, values.size());
  }
  for (const double value : values) {
    if (!std::isfinite(value)) fail("preprocessing: {} has a value that is not finite", what);
  }
}

void validate(const Preprocess& p) {
  validate_extent(p.resize, "resize");
  validate_extent(p.crop, "crop");
  validate_values(p.mean, "mean");
  validate_values(p.std, "std");
  for (const double value : p.std) {
    if (!(value > 0)) fail("preprocessing: std must be above 0, not {}", value);
  }
  if (!(p.divisor > 0) || !std::isfinite(p.divisor))
    fail("preprocessing: divisor must be above 0, not {}", p.divisor);
}

void read_key(Preprocess& p, const std::string& key, const nlohmann::json& value) {
  if (key == "name") {
    p.name = value.get<std::string>();
  } else if (key == "resize") {
    p.resize = value.get<std::vector<int64_t>>();
  } else if (key == "crop") {
    p.crop = value.get<std::vector<int64_t>>();
  } else if (key == "interpolation") {
    p.interpolation = interpolation_named(value.get<std::string>());
  } else if (key == "divisor") {
    p.divisor = value.get<double>();
  } else if (key == "mean") {
    p.mean = value.get<std::vector<double>>();
  } else if (key == "std") {
    p.std = value.get<std::vector<double>>();
  } else if (key == "layout") {
    p.layout = layout_named(value.get<std::string>());
  } else if (key == "channels") {
    p.channels = channels_named(value.get<std::string>());
  } else {
    const std::vector<std::string> known = {"name", "resize", "crop",   "interpolation", "divisor",
                                            "mean", "std",    "layout", "channels"};
    fail("preprocessing text has an unknown key '{}'{}", key, nearest_hint(key, known));
  }
}

Preprocess parse_json(std::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) fail("preprocessing text is not valid JSON: {}", text.substr(0, 80));
  Preprocess result;
  for (const auto& [key, value] : json.items()) {
    try {
      read_key(result, key, value);
    } catch (const nlohmann::json::exception&) {
      fail("preprocessing text has a wrong value for '{}': {}", key, value.dump());
    }
  }
  validate(result);
  return result;
}

// Python's round(): half to even, as torchvision's center_crop has it.
int64_t centered(int64_t whole, int64_t part) { return std::lrint(static_cast<double>(whole - part) / 2.0); }

}  // namespace

std::string_view name(Layout layout) { return layout == Layout::Nchw ? "nchw" : "nhwc"; }

std::string_view name(Channels channels) {
  switch (channels) {
    case Channels::Stored:
      return "stored";
    case Channels::Rgb:
      return "rgb";
    case Channels::Bgr:
      return "bgr";
    case Channels::Gray:
      return "gray";
  }
  throw_bug(__FILE__, __LINE__, "channels", "unknown channel order");
}

Layout layout_named(std::string_view text) {
  for (const Layout layout : {Layout::Nchw, Layout::Nhwc}) {
    if (name(layout) == text) return layout;
  }
  fail("unknown layout '{}' (known: nchw, nhwc)", text);
}

Channels channels_named(std::string_view text) {
  for (const Channels channels : {Channels::Stored, Channels::Rgb, Channels::Bgr, Channels::Gray}) {
    if (name(channels) == text) return channels;
  }
  fail("unknown channels '{}' (known: stored, rgb, bgr, gray)", text);
}

const std::vector<std::string>& preprocess_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> result;
    for (const Preprocess& p : named()) result.push_back(p.name);
    return result;
  }();
  return names;
}

Preprocess parse_preprocess(std::string_view text) {
  if (text.starts_with('{')) return parse_json(text);
  for (Preprocess& p : named()) {
    if (p.name == text) return std::move(p);
  }
  fail("unknown preprocessing '{}'{}", text, nearest_hint(text, preprocess_names()));
}

std::string to_text(const Preprocess& p) {
  nlohmann::ordered_json json;
  json["name"] = p.name;
  if (!p.resize.empty()) json["resize"] = p.resize;
  if (!p.crop.empty()) json["crop"] = p.crop;
  json["interpolation"] = name(p.interpolation);
  json["divisor"] = p.divisor;
  if (!p.mean.empty()) json["mean"] = p.mean;
  if (!p.std.empty()) json["std"] = p.std;
  json["layout"] = name(p.layout);
  json["channels"] = name(p.channels);
  return json.dump();
}

std::vector<int64_t> parse_extent(std::string_view text) {
  std::vector<int64_t> result;
  if (text.empty() || text == "0") return result;
  std::string_view rest = text;
  while (true) {
    int64_t side = 0;
    const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), side);
    if (problem != std::errc()) fail("'{}' is not a size: write 256, or 240x320 for height x width", text);
    result.push_back(side);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    if (rest.empty()) break;
    if (rest[0] != 'x' || result.size() == 2)
      fail("'{}' is not a size: write 256, or 240x320 for height x width", text);
    rest.remove_prefix(1);
  }
  validate_extent(result, "size");
  return result;
}

Image fit(const Preprocess& p, const Image& image) {
  int64_t height = image.height;
  int64_t width = image.width;
  if (p.resize.size() == 2) {
    height = p.resize[0];
    width = p.resize[1];
  } else if (p.resize.size() == 1) {
    // The longer side is cut down to a whole number, as torchvision's Resize does.
    const int64_t side = p.resize[0];
    height = image.height <= image.width ? side : side * image.height / image.width;
    width = image.width <= image.height ? side : side * image.width / image.height;
    // A picture 1 x 100000 must not become 256 x 25600000.
    if (height > kMaxPixels / width) {
      fail("a picture of {}x{} cannot be resized to {}x{}: too large", image.width, image.height, width,
           height);
    }
  }
  Window window{0, 0, height, width};
  if (!p.crop.empty()) {
    window.height = p.crop.front();
    window.width = p.crop.back();
    if (window.height > height || window.width > width) {
      fail("a crop of {}x{} does not fit an image of {}x{}; add --resize (for example --resize {})",
           window.height, window.width, height, width, std::max(window.height, window.width) * 8 / 7);
    }
    window.top = centered(height, window.height);
    window.left = centered(width, window.width);
  }
  // Gray to RGB after resizing, RGB to gray before: the cheaper order; replication commutes with resizing.
  if (p.channels == Channels::Gray && image.channels == 3) {
    return resize_window(to_gray(image), height, width, p.interpolation, window);
  }
  Image result = resize_window(image, height, width, p.interpolation, window);
  const bool wants_color = p.channels == Channels::Rgb || p.channels == Channels::Bgr;
  return wants_color ? to_rgb(std::move(result)) : result;
}

Shape sample_shape(const Preprocess& p, const Image& fitted) {
  if (p.layout == Layout::Nchw) return {fitted.channels, fitted.height, fitted.width};
  return {fitted.height, fitted.width, fitted.channels};
}

Normalizer::Normalizer(const Preprocess& p, int64_t channels) : layout_(p.layout) {
  const auto value = [&](const std::vector<double>& values, int64_t c, float otherwise, const char* what) {
    if (values.empty()) return otherwise;
    if (values.size() != 1 && values.size() != static_cast<size_t>(channels)) {
      fail("preprocessing: {} has {} values, but the images have {} channels; set --channels", what,
           values.size(), channels);
    }
    return static_cast<float>(values[values.size() == 1 ? 0 : static_cast<size_t>(c)]);
  };
  for (int64_t c = 0; c < channels; ++c) {
    source_.push_back(p.channels == Channels::Bgr ? channels - 1 - c : c);
    const float mean = value(p.mean, c, 0.0f, "mean");
    const float std = value(p.std, c, 1.0f, "std");
    for (int pixel = 0; pixel < 256; ++pixel) {
      table_.push_back((static_cast<float>(pixel) / static_cast<float>(p.divisor) - mean) / std);
    }
  }
}

void Normalizer::write(const Image& fitted, std::span<float> out) const {
  const auto channels = static_cast<int64_t>(source_.size());
  KVANT_CHECK(fitted.channels == channels && out.size() == fitted.pixels.size(),
              "sample does not fit its place");
  const int64_t pixels = fitted.height * fitted.width;
  const int64_t channel_step = layout_ == Layout::Nchw ? pixels : 1;
  const int64_t pixel_step = layout_ == Layout::Nchw ? 1 : channels;
  for (int64_t c = 0; c < channels; ++c) {
    const uint8_t* in = fitted.pixels.data() + source_[static_cast<size_t>(c)];
    const float* table = table_.data() + c * 256;
    float* to = out.data() + c * channel_step;
    for (int64_t i = 0; i < pixels; ++i) to[i * pixel_step] = table[in[i * channels]];
  }
}

Tensor apply(const Preprocess& p, const Image& image) {
  const Image fitted = fit(p, image);
  Tensor result(DType::Float32, sample_shape(p, fitted));
  Normalizer(p, fitted.channels).write(fitted, result.mutable_data<float>());
  return result;
}

void require_fit(const Shape& actual, const Shape& expected, std::string_view what) {
  bool fits = actual.size() == expected.size();
  for (size_t i = 0; fits && i < actual.size(); ++i)
    fits = expected[i] == kUnknownDim || actual[i] == expected[i];
  if (fits) return;
  fail(
      "{} is {} after preprocessing, but the model takes {}; set --resize, --crop, --channels or --layout so "
      "that they agree",
      what, to_string(actual), to_string(expected));
}

}  // namespace kvant::data
