// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/launch.h"

#include <string>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"

namespace kvant::backends::cuda {

#define KVANT_ENTRY(name, module, sm) \
  void emulate_##name(const Launch&, const emulator::Options&, emulator::Counters*);
#include "backends/cuda/kernels/kernels.inc"

std::span<const Kernel> kernels() {
  static const Kernel all[] = {
#define KVANT_ENTRY(name, module, sm) {#name, #module, sm, emulate_##name},
#include "backends/cuda/kernels/kernels.inc"
  };
  return all;
}

const Kernel& kernel_named(std::string_view name) {
  std::vector<std::string> names;
  for (const Kernel& kernel : kernels()) {
    if (name == kernel.name) return kernel;
    names.emplace_back(kernel.name);
  }
  fail("cuda: there is no kernel '{}'{}", name, nearest_hint(name, names));
}

}  // namespace kvant::backends::cuda
