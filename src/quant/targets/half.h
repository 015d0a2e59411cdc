// SPDX-License-Identifier: Apache-2.0
// FP16 parts of a strongly typed network.
#pragma once

#include "quant/targets/target.h"

namespace kvant::quant {

// Float32 tensors become float16 where the operator is safe in it; norms, Softmax, exponentials and whatever
// is not known to be safe stay float32 between Casts. Inputs and outputs of the network stay float32.
//  - Weights are written as int8 codes behind a DequantizeLinear, so that no code changes.
//  - Scales become float16 where that has a normal number for all of them: the error, at most 2^-11 of the
//  scale,
//    is that of the values themselves. Pairs with other scales stay float32 between Casts and are reported.
// Fails on a float constant beyond float16 and on models of fewer than 8 bits. Types are inferred anew.
void to_half(ir::Graph& graph, const ir::OpTable& ops, TargetReport& report);

}  // namespace kvant::quant
