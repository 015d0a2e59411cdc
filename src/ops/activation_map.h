// SPDX-License-Identifier: Apache-2.0
// Elementwise operators that are activation functions: evaluated through tensor/activation.h, so that there
// is one formula for the operator, the fused epilogues and the kernels.
#pragma once

#include <vector>

#include "ir/op_def.h"
#include "tensor/activation.h"

namespace kvant::ops {

// Input 0 (a float tensor; refused otherwise) through `activation`. f64 is computed in double, the rest in
// float.
std::vector<Tensor> map_activation(const ir::EvalArgs& args, Activation activation, double alpha = 0,
                                   double beta = 0);

}  // namespace kvant::ops
