// SPDX-License-Identifier: Apache-2.0
#include "ops/ops.h"

namespace kvant::ops {

#define KVANT_ENTRY(function) ir::OpDef function();
#include "ops/ops.inc"
#undef KVANT_ENTRY

const ir::OpTable& standard() {
  static const ir::OpTable table({
#define KVANT_ENTRY(function) function(),
#include "ops/ops.inc"
#undef KVANT_ENTRY
  });
  return table;
}

}  // namespace kvant::ops
