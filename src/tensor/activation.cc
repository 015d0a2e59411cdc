// SPDX-License-Identifier: Apache-2.0
#include "tensor/activation.h"

#include <array>
#include <cmath>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "tensor/sigmoid.h"

namespace kvant {
namespace {

constexpr std::array<std::pair<Activation, std::string_view>, 14> kNames{{
    {Activation::None, ""},
    {Activation::Relu, "Relu"},
    {Activation::Clip, "Clip"},
    {Activation::LeakyRelu, "LeakyRelu"},
    {Activation::Elu, "Elu"},
    {Activation::Sigmoid, "Sigmoid"},
    {Activation::HardSigmoid, "HardSigmoid"},
    {Activation::Silu, "Silu"},
    {Activation::HardSwish, "HardSwish"},
    {Activation::Tanh, "Tanh"},
    {Activation::Gelu, "Gelu"},
    {Activation::GeluTanh, "GeluTanh"},
    {Activation::Softplus, "Softplus"},
    {Activation::Mish, "Mish"},
}};

// NaN passes through both bounds; above wins where the bounds cross (numpy.clip).
template <class T>
T clip(T x, T low, T high) {
  const T bounded = x < low ? low : x;
  return bounded > high ? high : bounded;
}

template <class T>
T softplus(T x) {
  return (x > 0 ? x : T{0}) + std::log1p(std::exp(-std::abs(x)));
}

template <class T>
T logistic(T x) {
  if constexpr (std::is_same_v<T, float>) {
    return sigmoid(x);
  } else {
    return T{1} / (T{1} + std::exp(-x));
  }
}

template <class T>
T gelu(T x) {
  constexpr T kInverseSqrt2 = static_cast<T>(0.70710678118654752440);
  return T{0.5} * x * (T{1} + std::erf(x * kInverseSqrt2));
}

template <class T>
T gelu_tanh(T x) {
  constexpr T kSqrt2OverPi = static_cast<T>(0.79788456080286535588);
  const T inner = kSqrt2OverPi * (x + static_cast<T>(0.044715) * x * x * x);
  return T{0.5} * x * (T{1} + std::tanh(inner));
}

// Calls use(f) with the function f(x) of the activation, so that loops choose it once.
template <class T, class Use>
decltype(auto) with_function(Activation activation, T alpha, T beta, Use&& use) {
  switch (activation) {
    case Activation::None:
      return use([](T x) { return x; });
    case Activation::Relu:
      return use([](T x) { return x < 0 ? T{0} : x; });
    case Activation::Clip:
      return use([=](T x) { return clip(x, alpha, beta); });
    case Activation::LeakyRelu:
      return use([=](T x) { return x < 0 ? alpha * x : x; });
    case Activation::Elu:
      return use([=](T x) { return x < 0 ? alpha * std::expm1(x) : x; });
    case Activation::Sigmoid:
      return use([](T x) { return logistic(x); });
    case Activation::HardSigmoid:
      return use([=](T x) { return clip(alpha * x + beta, T{0}, T{1}); });
    case Activation::Silu:
      return use([](T x) { return x * logistic(x); });
    case Activation::HardSwish:
      return use([](T x) { return x * clip(x * (T{1} / T{6}) + T{0.5}, T{0}, T{1}); });
    case Activation::Tanh:
      return use([](T x) { return std::tanh(x); });
    case Activation::Gelu:
      return use([](T x) { return gelu(x); });
    case Activation::GeluTanh:
      return use([](T x) { return gelu_tanh(x); });
    case Activation::Softplus:
      return use([](T x) { return softplus(x); });
    case Activation::Mish:
      return use([](T x) { return x * std::tanh(softplus(x)); });
  }
  throw_bug(__FILE__, __LINE__, "activation", "unknown activation");
}

template <class T>
void activate_all(Activation activation, std::span<const T> x, std::span<T> y, T alpha, T beta) {
  KVANT_CHECK(x.size() == y.size(), "activation over spans of different length");
  with_function<T>(activation, alpha, beta, [&](auto function) {
    for (size_t i = 0; i < x.size(); ++i) y[i] = function(x[i]);
  });
}

}  // namespace

std::optional<Activation> activation_named(std::string_view name) {
  for (const auto& [activation, known] : kNames) {
    if (known == name) return activation;
  }
  return std::nullopt;
}

std::string_view name(Activation activation) {
  for (const auto& [known, text] : kNames) {
    if (known == activation) return text;
  }
  throw_bug(__FILE__, __LINE__, "activation", "unknown activation");
}

float activate(Activation activation, float x, float alpha, float beta) {
  return with_function<float>(activation, alpha, beta, [x](auto function) { return function(x); });
}

void activate(Activation activation, std::span<const float> x, std::span<float> y, float alpha, float beta) {
  activate_all(activation, x, y, alpha, beta);
}

void activate(Activation activation, std::span<const double> x, std::span<double> y, double alpha,
              double beta) {
  activate_all(activation, x, y, alpha, beta);
}

}  // namespace kvant
