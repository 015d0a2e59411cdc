// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy and .npz files (format versions 1 to 3): all number types both byte orders, C and Fortran
// order; .npz members stored or deflated. Specification: numpy.lib.format.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensor/tensor.h"

namespace kvant::data {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// An array from the bytes of a .npy file; points into `bytes` where alignment and order allow (kept alive by
// `owner`). `name` is the file in messages.
Tensor parse_npy(std::span<const std::byte> bytes, const std::shared_ptr<const std::byte>& owner,
                 std::string_view name);
Tensor read_npy(const std::filesystem::path& path);
// The arrays of an .npz, without ".npy" in their names, in the file's order.
NamedTensors read_npz(const std::filesystem::path& path);

// Written atomically, little endian, C order. bf16, which NumPy lacks, is widened to f32.
void write_npy(const std::filesystem::path& path, const Tensor& tensor);
// Members stored. Fails if a name repeats, or beyond the 4 GiB of a plain zip file.
void write_npz(const std::filesystem::path& path, const NamedTensors& tensors);

}  // namespace kvant::data
