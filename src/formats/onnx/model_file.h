// SPDX-License-Identifier: Apache-2.0
// ONNX model files as messages: parsing with the errors a user needs, and a check that never parses a weight.
#pragma once

#include <filesystem>
#include <memory>

#include "formats/onnx/kvant_onnx.pb.h"

namespace kvant::formats {

// The parsed model. Fails if the file is missing, empty, truncated, damaged or something else.
std::unique_ptr<kvant_onnx::ModelProto> parse_model(const std::filesystem::path& path);

// Whether the file's outermost fields are those of an ONNX model, from the first byte to the last.
bool is_onnx_file(const std::filesystem::path& path);

}  // namespace kvant::formats
