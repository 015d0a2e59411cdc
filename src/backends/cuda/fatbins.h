// SPDX-License-Identifier: Apache-2.0
// The compiled kernels that this build carries: one image for each module of launch.h, for every card of
// KVANT_CUDA_SMS. None when there was no nvcc.
#pragma once

#include <span>
#include <string_view>

namespace kvant::backends::cuda {

struct Fatbin {
  std::string_view module;
  const unsigned char* image;
};

// The table is written by cmake/cuda_fatbins.cmake.
std::span<const Fatbin> fatbins();
// Version of the toolkit that made them, as the driver counts (13000 is 13.0); 0 without kernels.
int fatbin_cuda_version();

}  // namespace kvant::backends::cuda
