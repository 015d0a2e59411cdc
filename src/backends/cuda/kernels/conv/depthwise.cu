// SPDX-License-Identifier: Apache-2.0
// Depthwise convolutions and the kernel that computes any convolution.
#include "backends/cuda/kernels/conv/depthwise.cuh"

namespace kvant::backends::cuda {

#define KVANT_DEPTHWISE(taps, stride) \
  KVANT_KERNEL(conv_depthwise_##taps##s##stride, 128, 4, ConvParams, device::depthwise<taps, stride>)
#include "backends/cuda/kernels/conv/depthwise.inc"

KVANT_KERNEL(conv_direct, 128, 4, ConvParams, device::direct)

}  // namespace kvant::backends::cuda
