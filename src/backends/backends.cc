// SPDX-License-Identifier: Apache-2.0
#include "backends/backends.h"

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

}  // namespace kvant::backends
