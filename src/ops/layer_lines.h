// SPDX-License-Identifier: Apache-2.0
// What LayerNormalization and RMSNormalization share: the trailing dimensions from `axis` on form one line,
// and scale and bias broadcast to x.
#pragma once

#include <vector>

#include "ir/op_def.h"

namespace kvant::ops {

// Number of elements from `axis` (attribute, default -1) on.
int64_t line_length(const ir::Node& node, const Shape& x);
// x's shape with the dimensions from `axis` on set to 1.
Shape line_statistics_shape(const ir::Node& node, const Shape& x);
// Tensor repeated to the shape of x. Fails naming the operator and `what` if it does not broadcast to it.
std::vector<double> broadcast_values(const ir::Node& node, std::string_view what, const Tensor& tensor,
                                     const Shape& x);

}  // namespace kvant::ops
