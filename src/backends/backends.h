// SPDX-License-Identifier: Apache-2.0
// All backends of this build. The CLI hands those of a device to the engine.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/backend.h"

namespace kvant::backends {

// Those of the host, in order of preference (backends.inc).
std::vector<std::unique_ptr<engine::Backend>> all();
// The same, made once, alive as long as the program.
std::span<const engine::Backend* const> shared();

// The backends of a device in order of preference: its own first, the host's for what it has no kernel for.
// Engines made from them do not need them any more.
class DeviceBackends {
 public:
  // A name of device_name.h. Fails with one sentence when there is no such device, or no kernels for it in
  // this build.
  explicit DeviceBackends(std::string_view device = "cpu");

  std::span<const engine::Backend* const> list() const { return list_; }
  const std::string& device() const { return device_; }            // "cpu", "cuda:0"
  const std::string& description() const { return description_; }  // "cuda:0 (NVIDIA H100 80GB HBM3)"

 private:
  std::string device_, description_;
  std::unique_ptr<engine::Backend> own_;
  std::vector<const engine::Backend*> list_;
};

}  // namespace kvant::backends
