// SPDX-License-Identifier: Apache-2.0
// For tests: a launch in the emulator, and random tensors to give it. Tensors start at multiples of 64 bytes.
#pragma once

#include "backends/cuda/emulator/emulator.h"
#include "backends/cuda/kernels/launch.h"
#include "base/random.h"
#include "tensor/tensor.h"

namespace kvant::backends::cuda {

inline void emulate(const Launch& launch, const emulator::Options& options = {}) {
  launch.kernel->emulate(launch, options, nullptr);
}

inline Tensor random_codes(DType dtype, Shape shape, Random& random) {
  Tensor result(dtype, std::move(shape));
  for (size_t i = 0; i < result.byte_size(); ++i)
    result.mutable_raw()[i] = static_cast<std::byte>(random.next());
  return result;
}

inline Tensor random_reals(Shape shape, Random& random, float low = -4, float high = 4) {
  Tensor result(DType::Float32, std::move(shape));
  for (float& value : result.mutable_data<float>()) value = random.uniform(low, high);
  return result;
}

}  // namespace kvant::backends::cuda
