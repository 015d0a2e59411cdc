// SPDX-License-Identifier: Apache-2.0
// Activations in kernels: exact codes by a step table, floats (within rounding) by formula. Formulas:
// tensor/activation.cc.
#pragma once

#include "backends/cuda/kernels/activation/step_table.h"
#include "backends/cuda/kernels/device.cuh"

#if !defined(__CUDACC__)
#include <cmath>
#endif

namespace kvant::backends::cuda::device {

// code_by_steps() of step_table.h.
KVANT_DEVICE int code_by_steps(const StepTable* table, float v) {
  if (v != v) return table->code_of_nan;
  int cell = round_to_int(fma_rn(v, table->cells_per_unit, table->offset));
  cell = cell < 0 ? 0 : cell > StepTable::kCells - 1 ? StepTable::kCells - 1 : cell;
  int step = table->first[cell];
  while (table->from[step] <= v) ++step;
  return table->codes[step];
}

KVANT_DEVICE float held_between(float x, float low, float high) {
  const float bounded = x < low ? low : x;
  return bounded > high ? high : bounded;
}
KVANT_DEVICE float softplus(float x) { return (x > 0.0f ? x : 0.0f) + log1pf(expf(-fabsf(x))); }

KVANT_DEVICE float activate_real(Activation activation, float x, float alpha, float beta) {
  switch (activation) {
    case Activation::None:
      return x;
    case Activation::Relu:
      return x < 0.0f ? 0.0f : x;
    case Activation::Clip:
      return held_between(x, alpha, beta);
    case Activation::LeakyRelu:
      return x < 0.0f ? alpha * x : x;
    case Activation::Elu:
      return x < 0.0f ? alpha * expm1f(x) : x;
    case Activation::Sigmoid:
      return 1.0f / (1.0f + expf(-x));
    case Activation::HardSigmoid:
      return held_between(alpha * x + beta, 0.0f, 1.0f);
    case Activation::Silu:
      return x * (1.0f / (1.0f + expf(-x)));
    case Activation::HardSwish:
      return x * held_between(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    case Activation::Tanh:
      return tanhf(x);
    case Activation::Gelu:
      return 0.5f * x * (1.0f + erff(x * 0.70710678118654752440f));
    case Activation::GeluTanh:
      return 0.5f * x * (1.0f + tanhf(0.79788456080286535588f * (x + 0.044715f * x * x * x)));
    case Activation::Softplus:
      return softplus(x);
    case Activation::Mish:
      return x * tanhf(softplus(x));
  }
  return x;
}

}  // namespace kvant::backends::cuda::device
