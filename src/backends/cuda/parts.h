// SPDX-License-Identifier: Apache-2.0
// What bindings of operators that are made of others read with the others' own functions. All fail where node
// and operands do not fit.
#pragma once

#include "backends/cuda/binding.h"
#include "backends/cuda/kernels/conv/conv.h"
#include "backends/cuda/kernels/elementwise/elementwise.h"
#include "backends/cuda/kernels/pool/pool.h"

namespace kvant::backends::cuda {

PoolDesc describe_pool(const engine::NodeView& view);                       // bind_pool.cc
ConvDesc describe_conv(const engine::NodeView& view, const Shape& weight);  // bind_conv.cc: QConv, QGemm
// The same with the constants at hand, which are checked too.
ConvDesc describe_constants(const engine::NodeView& view);

struct CodePair {
  CodePairDesc desc;
  int64_t count = 0;
  bool per_channel = false;  // b is [n,1,1,c]
  int64_t n = 1, pixels = 1, c = 1;
};
CodePair describe_pair(const engine::NodeView& view, const Operands& operands);  // bind_codes.cc: QAdd, QMul

}  // namespace kvant::backends::cuda
