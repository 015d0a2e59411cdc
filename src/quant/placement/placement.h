// SPDX-License-Identifier: Apache-2.0
// Which tensors of a float graph get a Q/DQ pair: the default recipe, as families of patterns
// (placements.inc).
#pragma once

#include <span>
#include <string_view>

#include "quant/placement/sites.h"

namespace kvant::quant {

struct Family {
  std::string_view name;
  std::string_view summary;
  void (*place)(Sites&);  // claims what it finds; called again until no family claims anything new
};

// In the order of placements.inc.
std::span<const Family> families();

// All families on `graph` (types inferred, constants folded), which must outlive the result. Inputs that
// already read a Q/DQ pair are left as they are and count as quantized.
Sites place(const ir::Graph& graph);

}  // namespace kvant::quant
