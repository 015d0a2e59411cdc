// SPDX-License-Identifier: Apache-2.0
// What ArgMax and ArgMin share.
#pragma once

#include <vector>

#include "ir/op_def.h"

namespace kvant::ops {

std::vector<ir::AttributeDef> arg_extreme_attributes();
std::vector<ir::Type> infer_arg_extreme(const ir::InferArgs& args);
// Index of the largest (or smallest) element along the node's axis, as i64; the first NaN wins, as in numpy.
// Fails when the axis has no elements.
std::vector<Tensor> arg_extreme(const ir::EvalArgs& args, bool largest);

}  // namespace kvant::ops
