// SPDX-License-Identifier: Apache-2.0
// Activation functions by name, as fused operators and elementwise ones share them. Formulas: ONNX operators.
#pragma once

#include <optional>
#include <string_view>

namespace kvant {

enum class Activation {
  None,
  Relu,
  Clip,
  LeakyRelu,
  Elu,
  Sigmoid,
  HardSigmoid,
  Silu,
  HardSwish,
  Tanh,
  Gelu,
  GeluTanh,
  Softplus,
  Mish
};

std::optional<Activation> activation_named(std::string_view name);  // "" is None
std::string_view name(Activation activation);
// alpha, beta: Clip's bounds; LeakyRelu's and Elu's alpha; HardSigmoid's alpha and beta. Computed in float.
float activate(Activation activation, float x, float alpha, float beta);

}  // namespace kvant
