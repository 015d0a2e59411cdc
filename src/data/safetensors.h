// SPDX-License-Identifier: Apache-2.0
// The .safetensors format: 8 bytes with the length of a JSON header, the header (name -> dtype, shape, range
// of bytes), then the data, little endian. Specification: github.com/huggingface/safetensors.
#pragma once

#include <filesystem>

#include "data/npy.h"

namespace kvant::data {

// The tensors in the header's order; they point into the mapped file where it is aligned for them. Element
// types: F64, F32, F16, BF16, I8 to I64, U8 to U64, BOOL. Fails with the file's and the tensor's name on a
// header or a range that lies outside the file or does not fit the shape, and on other element types.
NamedTensors read_safetensors(const std::filesystem::path& path);

// Written atomically, in the order given. Fails if a name repeats.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace kvant::data
