// SPDX-License-Identifier: Apache-2.0
// What --device names.
#pragma once

#include <string>
#include <string_view>

namespace kvant::backends {

enum class DeviceKind { Cpu, Cuda, EmulatedCuda };

struct DeviceName {
  DeviceKind kind = DeviceKind::Cpu;
  int ordinal = 0;  // of a card
  int sm = 90;      // that the emulator stands for
};

// "cpu"; "cuda", "cuda:1"; "emulated-cuda", "emulated-cuda:sm_80" (a development tool: kernels run on the
// CPU, docs/gpu.md). Fails on anything else, naming the nearest.
DeviceName parse_device(std::string_view text);

}  // namespace kvant::backends
