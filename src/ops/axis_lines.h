// SPDX-License-Identifier: Apache-2.0
// Softmax, LogSoftmax and Hardmax: functions of the elements along one axis.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ir/op_def.h"

namespace kvant::ops {

// y: fn applied in place to each line of x along attribute `axis` (default -1), in double.
std::vector<Tensor> map_lines(const ir::EvalArgs& args, const std::function<void(std::span<double>)>& fn);
// Float type passed through; the axis checked.
std::vector<ir::Type> lines_type(const ir::InferArgs& args);

}  // namespace kvant::ops
