// SPDX-License-Identifier: Apache-2.0
#include "formats/format.h"

#include "formats/onnx/model_file.h"
#include "formats/onnx/onnx.h"

namespace kvant::formats {

Format onnx() { return {"ONNX", ".onnx", &is_onnx_file, &read_onnx, &write_onnx}; }

bool looks_like_onnx(const std::filesystem::path& path) { return is_onnx_file(path); }

}  // namespace kvant::formats
