// SPDX-License-Identifier: Apache-2.0
// Epilogue attributes of QConv and QGemm (docs/lowered-ops.md) as the kernels' plain descriptor.
#pragma once

#include "backends/cpu/kernels/epilogue.h"
#include "engine/backend.h"

namespace kvant::backends::cpu {

// The code type of an element type; fails for others than u8, i8 and f32.
Code code_of(const engine::NodeView& view, DType dtype);
// u8 or i8 only.
bool is_signed_code(const engine::NodeView& view, DType dtype);
// An integer attribute that must lie among the codes of `code` (0 for f32).
int32_t code_attribute(const engine::NodeView& view, std::string_view name, int64_t fallback, Code code);
// low and high among the codes, in order.
void read_clamp(const engine::NodeView& view, Code code, int32_t& low, int32_t& high);
// `residual_input`: its index; that of the table is the next. Fails on types and numbers that do not fit each
// other.
Epilogue node_epilogue(const engine::NodeView& view, size_t residual_input);

}  // namespace kvant::backends::cpu
