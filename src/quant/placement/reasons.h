// SPDX-License-Identifier: Apache-2.0
// Why a node stays in float, in words, where no family said so.
#pragma once

#include <string>

#include "quant/placement/sites.h"

namespace kvant::quant {

// The reason that was recorded for the node, else the one that follows from what it is.
std::string float_reason(const Sites& sites, ir::NodeId id);

}  // namespace kvant::quant
