// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/driver_api.h"

#include <dlfcn.h>

#include "base/error.h"

namespace kvant::backends::cuda::driver {

std::string Api::describe(Result error) const {
  const char *name = nullptr, *text = nullptr;
  if (error_name == nullptr || error_name(error, &name) != kSuccess || name == nullptr)
    return fmt::format("CUDA error {}", error);
  if (error_text == nullptr || error_text(error, &text) != kSuccess || text == nullptr) return name;
  return fmt::format("{} ({})", name, text);
}

std::shared_ptr<const Api> open(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    fail("no NVIDIA driver is installed on this machine ({} is not there): use --device cpu", library);
  }
  auto api = std::make_shared<Api>();
  // Never closed: the driver has threads of its own.
  api->library = std::shared_ptr<void>(handle, [](void*) {});
#define KVANT_LOOK_UP(name, symbol, parameters)                                              \
  api->name = reinterpret_cast<Result(*) parameters>(dlsym(handle, #symbol));                \
  if (api->name == nullptr) {                                                                \
    fail("the NVIDIA driver of this machine is too old (it has no {}): update it", #symbol); \
  }
  KVANT_DRIVER_FUNCTIONS(KVANT_LOOK_UP)
#undef KVANT_LOOK_UP
  const Result error = api->init(0);
  if (error == kStubLibrary)
    fail("{} is the CUDA toolkit's stub and no driver: install the NVIDIA driver, or use --device cpu",
         library);
  if (error == kNoDevice) fail("the NVIDIA driver finds no card on this machine: use --device cpu");
  if (error == kSystemDriverMismatch)
    fail("the NVIDIA driver's library and its kernel module are of different versions: restart the machine");
  if (error != kSuccess) fail("the NVIDIA driver does not start: {}", api->describe(error));
  return api;
}

}  // namespace kvant::backends::cuda::driver
