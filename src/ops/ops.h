// SPDX-License-Identifier: Apache-2.0
// The table of all operators: ONNX's at ir::kIrOpset, and the internal ones of docs/lowered-ops.md.
#pragma once

#include "ir/op_def.h"

namespace kvant::ops {

const ir::OpTable& standard();

}  // namespace kvant::ops
