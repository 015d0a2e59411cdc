// SPDX-License-Identifier: Apache-2.0
// A fusion for the device that a plan is built for: it makes a node only where that has a kernel for it.
#pragma once

#include <functional>

#include "engine/backend.h"
#include "ir/pass.h"

namespace kvant::engine {

// Whether the plan's first backend runs such a node.
using HasKernel = std::function<bool(const NodeView& view)>;

// QMul(x, QConv(QConv(QGlobalAveragePool(x)))) => QSqueezeExcite(x) (docs/lowered-ops.md), where the products
// are 1x1 with constant operands and nothing else reads what is between.
ir::Pass fuse_squeeze_excite(HasKernel has);

}  // namespace kvant::engine
