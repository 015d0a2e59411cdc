// SPDX-License-Identifier: Apache-2.0
#include "formats/model.h"

#include <array>

#include "base/error.h"
#include "formats/format.h"

namespace kvant::formats {

#define KVANT_ENTRY(function) Format function();
#include "formats/formats.inc"
#undef KVANT_ENTRY

namespace {

const auto& all() {
  static const std::array formats{
#define KVANT_ENTRY(function) function(),
#include "formats/formats.inc"
#undef KVANT_ENTRY
  };
  return formats;
}

const Format* by_extension(const std::filesystem::path& path) {
  for (const Format& format : all()) {
    if (path.extension() == format.extension) return &format;
  }
  return nullptr;
}

std::string known_extensions() {
  std::string text;
  for (const Format& format : all())
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", format.extension, format.name);
  return text;
}

}  // namespace

// The extension decides, so that a damaged model.onnx is told to be one; other names go by content.
ir::Graph read(const std::filesystem::path& path, const ReadOptions& options) {
  if (const Format* format = by_extension(path)) return format->read(path, options);
  if (!std::filesystem::exists(path)) fail("cannot open {}: No such file or directory", path.string());
  for (const Format& format : all()) {
    if (format.recognises(path)) return format.read(path, options);
  }
  fail("{} is not a model file that kvant reads: {}", path.string(), known_extensions());
}

void write(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options) {
  const Format* format = by_extension(path);
  if (format == nullptr) {
    fail("cannot tell from the name {} which model format to write; known: {}", path.string(),
         known_extensions());
  }
  format->write(graph, path, options);
}

}  // namespace kvant::formats
