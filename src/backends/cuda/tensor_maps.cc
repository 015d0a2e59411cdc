// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/tensor_maps.h"

#include <algorithm>

#include "backends/cuda/kernels/tensor_map.h"
#include "base/error.h"

namespace kvant::backends::cuda {
namespace {

driver::Result encode(const driver::Api& api, const TensorMapForm& form, TensorMap& map) {
  uint64_t dims[kMostTensorRank];
  uint32_t box[kMostTensorRank], steps[kMostTensorRank];
  std::copy_n(form.dims, kMostTensorRank, dims);
  std::copy_n(form.box, kMostTensorRank, box);
  std::copy_n(form.steps, kMostTensorRank, steps);
  auto* address = const_cast<void*>(form.address);
  const auto swizzle = static_cast<int>(form.swizzle);
  if (!form.im2col) {
    return api.map_tiles(&map, driver::kMapBytes, form.rank, address, dims, form.strides, box, steps,
                         driver::kMapNotInterleaved, swizzle, driver::kMapFetch256, driver::kMapZeros);
  }
  const int lower[2] = {form.lower[0], form.lower[1]}, upper[2] = {form.upper[0], form.upper[1]};
  return api.map_pixels(&map, driver::kMapBytes, form.rank, address, dims, form.strides, lower, upper,
                        form.channels, form.pixels, steps, driver::kMapNotInterleaved, swizzle,
                        driver::kMapFetch256, driver::kMapZeros);
}

}  // namespace

void encode_tensor_maps(const driver::Api& api, Launch& launch) {
  for (int i = 0; i < launch.tensor_maps; ++i) {
    std::byte* place = launch.params.data() + launch.tensor_map_at[static_cast<size_t>(i)];
    TensorMap plain, encoded;
    std::memcpy(static_cast<void*>(&plain), place, sizeof plain);
    const driver::Result error = encode(api, plain.form(), encoded);
    if (error != driver::kSuccess) {
      fail("the NVIDIA driver does not take tensor map {} of kernel '{}': {}", i, launch.kernel->name,
           api.describe(error));
    }
    std::memcpy(place, &encoded, sizeof encoded);
  }
}

}  // namespace kvant::backends::cuda
