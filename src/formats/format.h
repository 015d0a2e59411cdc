// SPDX-License-Identifier: Apache-2.0
// What a model format is: one entry of formats.inc, made by one function in formats/<name>/.
#pragma once

#include <filesystem>
#include <string_view>

#include "formats/model.h"

namespace kvant::formats {

struct Format {
  std::string_view name;       // "ONNX"
  std::string_view extension;  // ".onnx"
  // Whether the content of the file is of this format, whole; false too when it cannot be read.
  bool (*recognises)(const std::filesystem::path& path);
  ir::Graph (*read)(const std::filesystem::path& path, const ReadOptions& options);
  void (*write)(const ir::Graph& graph, const std::filesystem::path& path, const WriteOptions& options);
};

}  // namespace kvant::formats
