// SPDX-License-Identifier: Apache-2.0
#include "ops/activation_map.h"

#include "ops/elementwise.h"

namespace kvant::ops {

std::vector<Tensor> map_activation(const ir::EvalArgs& args, Activation activation, double alpha,
                                   double beta) {
  const Tensor& x = args.in(0);
  require_dtype(args.node.op, DTypes::Floats, x.dtype());
  if (x.dtype() == DType::Float64) {
    Tensor y(x.dtype(), x.shape());
    activate(activation, x.data<double>(), y.mutable_data<double>(), alpha, beta);
    return {y};
  }
  const Tensor wide = x.cast(DType::Float32);
  Tensor y(DType::Float32, x.shape());
  activate(activation, wide.data<float>(), y.mutable_data<float>(), static_cast<float>(alpha),
           static_cast<float>(beta));
  return {y.cast(x.dtype())};
}

}  // namespace kvant::ops
