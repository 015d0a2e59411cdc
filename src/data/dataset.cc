// SPDX-License-Identifier: Apache-2.0
#include "data/dataset.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::data {

#define KVANT_ENTRY(function) DatasetFormat function();
#include "data/formats.inc"
#undef KVANT_ENTRY

namespace {

struct Spec {
  std::string format;  // "" if not given
  std::string path;
  std::string split;
};

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const DatasetFormat& format : formats()) names.push_back(format.name);
  return names;
}

const DatasetFormat* format_named(std::string_view name) {
  for (const DatasetFormat& format : formats()) {
    if (format.name == name) return &format;
  }
  return nullptr;
}

bool could_be_name(std::string_view text) {
  return text.size() > 1 && std::ranges::all_of(text, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                  c == '-';
         });
}

// A '#' in the name of something that exists is part of the name.
void split_off(Spec& spec) {
  const size_t hash = spec.path.rfind('#');
  if (hash == std::string::npos || path_exists(spec.path)) return;
  spec.split = spec.path.substr(hash + 1);
  spec.path.resize(hash);
  if (spec.split.empty()) fail("no split after the '#' of '{}#'; write for example #test", spec.path);
}

Spec parse_spec(std::string_view text) {
  Spec spec;
  const size_t colon = text.find(':');
  const std::string_view head = text.substr(0, colon);
  if (colon != std::string_view::npos && could_be_name(head) && !path_exists(std::string(text))) {
    if (format_named(head) == nullptr) {
      fail("unknown data format '{}'{}", head, nearest_hint(head, format_names()));
    }
    spec.format = head;
    text.remove_prefix(colon + 1);
  }
  spec.path = text;
  split_off(spec);
  while (spec.path.size() > 1 && spec.path.ends_with('/')) spec.path.pop_back();
  if (spec.path.empty()) fail("no path in the data set '{}:'; write FORMAT:PATH", spec.format);
  return spec;
}

const DatasetFormat& guess(const Location& location) {
  for (const DatasetFormat& format : formats()) {
    if (format.recognizes(location)) return *format_named(format.name);
  }
  std::string known;
  for (const DatasetFormat& format : formats()) known += fmt::format("; {} ({})", format.name, format.what);
  fail("cannot tell what data format {} has; write FORMAT:PATH with one of{}", location.path,
       known.substr(1));
}

}  // namespace

Image DatasetReader::image(int64_t) const {
  throw_bug(__FILE__, __LINE__, "holds_images", "this data set holds tensors");
}
Tensor DatasetReader::tensor(int64_t) const {
  throw_bug(__FILE__, __LINE__, "tensor", "this data set holds images");
}

Dataset::Dataset(std::shared_ptr<const DatasetReader> reader, std::string spec)
    : reader_(std::move(reader)), spec_(std::move(spec)) {}

int64_t Dataset::class_count() const {
  const auto names = static_cast<int64_t>(class_names().size());
  if (names > 0) return names;
  int64_t largest = kNoLabel;
  for (int64_t i = 0; i < size(); ++i) largest = std::max(largest, label(i));
  return largest + 1;
}

void Dataset::require_labels(int64_t classes) const {
  for (int64_t i = 0; i < size(); ++i) {
    const int64_t value = label(i);
    if (value == kNoLabel) fail("the data set {} has no labels, which are needed here", spec_);
    if (classes > 0 && value >= classes) {
      fail("{}: label {} is outside 0..{} (the model has {} classes)", describe(i), value, classes - 1,
           classes);
    }
  }
}

Dataset Dataset::select(std::vector<int64_t> indices) const {
  for (int64_t& i : indices) {
    KVANT_CHECK(i >= 0 && i < size(), "selection outside the data set");
    i = at(i);
  }
  Dataset result = *this;
  result.chosen_ = std::make_shared<const std::vector<int64_t>>(std::move(indices));
  return result;
}

Dataset Dataset::spread(int64_t count) const {
  if (count >= size()) return *this;
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back(i * size() / count);
  return select(std::move(indices));
}

const std::vector<DatasetFormat>& formats() {
  static const std::vector<DatasetFormat> list = {
#define KVANT_ENTRY(function) function(),
#include "data/formats.inc"
#undef KVANT_ENTRY
  };
  return list;
}

Dataset open(std::string_view text) {
  Spec spec = parse_spec(text);
  if (!path_exists(spec.path)) fail("the data set {} does not exist", spec.path);
  Location location{spec.path, std::nullopt};
  if (Folder::is_one(spec.path)) location.folder.emplace(spec.path);
  const bool guessed = spec.format.empty();
  const DatasetFormat& format = guessed ? guess(location) : *format_named(spec.format);
  std::string understood = format.name + ":" + spec.path + (spec.split.empty() ? "" : "#" + spec.split);
  Dataset result(
      noting([&] { return "data set " + understood; }, [&] { return format.open(location, spec.split); }),
      understood);
  if (result.size() == 0) fail("the data set {} is empty", understood);
  if (guessed) result.set_guessed();
  return result;
}

}  // namespace kvant::data
