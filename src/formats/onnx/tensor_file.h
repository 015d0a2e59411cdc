// SPDX-License-Identifier: Apache-2.0
// One tensor in a file of its own (ONNX's TensorProto, usually named *.pb): what ONNX's test data is made of.
#pragma once

#include <filesystem>

#include "tensor/tensor.h"

namespace kvant::formats {

// Fails, with the path, on damaged files and on element types that kvant has not (strings, 4-bit integers,
// float8 ...).
Tensor read_tensor(const std::filesystem::path& path);

}  // namespace kvant::formats
