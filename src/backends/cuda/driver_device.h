// SPDX-License-Identifier: Apache-2.0
// A card behind the NVIDIA driver. Its kernels come from images in this program; a queue is a stream, a
// recording a CUDA graph, with programmatic dependent launches where the card has them.
#pragma once

#include <span>
#include <vector>

#include "backends/cuda/device.h"
#include "backends/cuda/driver_api.h"
#include "backends/cuda/fatbins.h"

namespace kvant::backends::cuda {

struct DriverOptions {
  double timeout_seconds = 60;  // after which a card that does not finish is given up
};

// The card of that number. Fails with one sentence: no such card (with the list of those there are), one that
// is too old for the kernels, a driver that is too old for them, a card that another process holds for
// itself.
std::shared_ptr<Device> driver_device(std::shared_ptr<const driver::Api> api, int ordinal,
                                      std::span<const Fatbin> images, int image_cuda_version,
                                      const DriverOptions& options = {});

// "cuda:0 (NVIDIA H100 80GB HBM3), cuda:1 (...)"
std::string list_cards(const driver::Api& api);

}  // namespace kvant::backends::cuda
