// SPDX-License-Identifier: Apache-2.0
// A fusion for the device that a plan is built for, as fuse_squeeze_excite.h: the sum of codes and a float
// that an activation made (YOLO's bottlenecks), back to codes.
#pragma once

#include "engine/passes/fuse_squeeze_excite.h"

namespace kvant::engine {

// Q(Add(DQ(a), b)) => QAddReal(a, b), where b is float and of a's shape and nothing else reads what is
// between.
ir::Pass fuse_add_real(HasKernel has);

}  // namespace kvant::engine
