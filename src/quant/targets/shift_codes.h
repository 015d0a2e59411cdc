// SPDX-License-Identifier: Apache-2.0
// int8 and uint8 are the same codes 128 apart: code - zero point, and with it every real value, is unchanged.
#pragma once

#include <cstdint>

#include "ir/graph.h"

namespace kvant::quant {

// Tensors held as uint8 with zero point 128 become int8 with zero point 0. Tensors that are read or written
// by anything but Q, DQ and data movement, or that are inputs or outputs of the graph, stay. Returns how many
// tensors changed.
int64_t shift_to_int8(ir::Graph& graph);
// The other way round, for activations only.
int64_t shift_to_uint8(ir::Graph& graph);

}  // namespace kvant::quant
