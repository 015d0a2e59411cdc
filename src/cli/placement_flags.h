// SPDX-License-Identifier: Apache-2.0
// The flags that say which layers are quantized: --mode, --spec, --case, --attention,
// --activation-tables.
#pragma once

#include <vector>

#include "cli/command.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"

namespace kvant::cli {

std::vector<Flag> placement_flags();

// Reads the spec file, too. What contradicts itself is a UsageError.
quant::PlaceOptions placement_options_of(const Flags& flags);

// The cases by name, as they are used: ["auto"] where none is given in mode full.
Json cases_json(const Flags& flags);
// One object for each Q/DQ pair: {tensor, node, weight, bits, readers, reason}.
Json pairs_json(const quant::PlacementReport& report);

}  // namespace kvant::cli
