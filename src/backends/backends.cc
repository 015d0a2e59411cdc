// SPDX-License-Identifier: Apache-2.0
#include "backends/backends.h"

#include "backends/cuda/cuda_backend.h"
#include "backends/cuda/driver_device.h"
#include "backends/cuda/emulated_device.h"
#include "backends/device_name.h"
#include "base/error.h"

namespace kvant::backends {

#define KVANT_ENTRY(function) std::unique_ptr<engine::Backend> function();
#include "backends/backends.inc"
#undef KVANT_ENTRY

std::vector<std::unique_ptr<engine::Backend>> all() {
  std::vector<std::unique_ptr<engine::Backend>> result;
#define KVANT_ENTRY(function) result.push_back(function());
#include "backends/backends.inc"
#undef KVANT_ENTRY
  return result;
}

std::span<const engine::Backend* const> shared() {
  static const std::vector<std::unique_ptr<engine::Backend>> owned = all();
  static const std::vector<const engine::Backend*> pointers = [] {
    std::vector<const engine::Backend*> result;
    for (const auto& backend : owned) result.push_back(backend.get());
    return result;
  }();
  return pointers;
}

namespace {

std::shared_ptr<cuda::Device> cuda_device(const DeviceName& name) {
  if (name.kind == DeviceKind::EmulatedCuda) return cuda::emulated_device({.sm = name.sm});
  if (cuda::fatbins().empty()) {
    fail(
        "this build of kvant has no CUDA kernels, for there was no nvcc: build it with -DKVANT_CUDA=ON, or "
        "use --device cpu");
  }
  return cuda::driver_device(cuda::driver::open(), name.ordinal, cuda::fatbins(),
                             cuda::fatbin_cuda_version());
}

}  // namespace

DeviceBackends::DeviceBackends(std::string_view device) {
  const DeviceName name = parse_device(device);
  const auto host = shared();
  list_.assign(host.begin(), host.end());
  device_ = description_ = "cpu";
  if (name.kind == DeviceKind::Cpu) return;
  const std::shared_ptr<cuda::Device> opened = cuda_device(name);
  device_ = opened->traits().id;
  description_ = fmt::format("{} ({})", device_, opened->traits().name);
  own_ = cuda_backend(opened);
  list_.insert(list_.begin(), own_.get());
}

}  // namespace kvant::backends
