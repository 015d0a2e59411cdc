// SPDX-License-Identifier: Apache-2.0
// A card that is not there: kernels run on the CPU from their source (emulator/). What is queued happens in
// wait(), as late as on a card, and the device's memory can be touched by nothing but what is queued, so that
// a missing copy or wait shows.
#pragma once

#include "backends/cuda/device.h"
#include "backends/cuda/emulator/emulator.h"

namespace kvant::backends::cuda {

struct EmulatedOptions {
  int sm = 90;
  size_t memory_bytes = size_t{8} << 30;
  emulator::Options schedule = {};
};

std::shared_ptr<Device> emulated_device(const EmulatedOptions& options = {});

}  // namespace kvant::backends::cuda
