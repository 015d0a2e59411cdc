// SPDX-License-Identifier: Apache-2.0
// A card, or what stands for one: the driver's (driver_device.h) and the emulator (emulated_device.h) behind
// one interface. A queue runs launches and copies in order.
#pragma once

#include <memory>
#include <string>

#include "backends/cuda/kernels/launch.h"
#include "engine/session.h"

namespace kvant::backends::cuda {

struct DeviceTraits {
  std::string id;    // as --device names it: "cuda:0"
  std::string name;  // "NVIDIA H100 80GB HBM3"
  int sm = 0;        // compute capability: 80, 90
  int multiprocessors = 0;
  size_t memory_bytes = 0;
};

class Queue : public engine::Session {
 public:
  virtual void launch(const Launch& launch) = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceTraits& traits() const = 0;
  // A queue of its own; it keeps the device alive.
  virtual std::shared_ptr<Queue> open() const = 0;
  virtual bool has_clock() const = 0;
};

}  // namespace kvant::backends::cuda
