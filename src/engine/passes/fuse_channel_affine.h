// SPDX-License-Identifier: Apache-2.0
// A fusion for the device that a plan is built for, as fuse_squeeze_excite.h: what is left of a batch norm
// that follows no convolution (ResNet v2), between codes and codes.
#pragma once

#include "engine/passes/fuse_squeeze_excite.h"

namespace kvant::engine {

// Q([Relu](Add(Mul(DQ(x), m), b))) => QChannelAffine(x, m, b), where m and b have a value for each element of
// the last axis and nothing else reads what is between.
ir::Pass fuse_channel_affine(HasKernel has);

}  // namespace kvant::engine
