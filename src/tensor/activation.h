// SPDX-License-Identifier: Apache-2.0
// Activation functions by name, as fused operators and elementwise ones share them. Formulas: ONNX operators.
#pragma once

#include <optional>
#include <span>
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
// The same over whole spans of equal length (y may be x): the function is chosen once.
void activate(Activation activation, std::span<const float> x, std::span<float> y, float alpha, float beta);
void activate(Activation activation, std::span<const double> x, std::span<double> y, double alpha,
              double beta);

}  // namespace kvant
