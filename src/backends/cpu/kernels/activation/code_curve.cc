// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/activation/code_curve.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace kvant::backends::cpu {
namespace {

constexpr int kTerms = CodeCurve::kTerms, kStretches = CodeCurve::kStretches;
constexpr double kFar = 1e4;          // beyond it activations are constant or a straight line
constexpr double kWorstError = 0.02;  // of a code: with more, too many results would be computed twice
constexpr double kEndError = 1e-4;    // of a code, from taking the ends as constant or straight
constexpr int kSamples = 48;          // of a stretch, where the error is measured

bool is_smooth(Activation activation) {
  switch (activation) {
    case Activation::Sigmoid:
    case Activation::Silu:
    case Activation::Tanh:
    case Activation::Gelu:
    case Activation::GeluTanh:
    case Activation::Softplus:
    case Activation::Mish:
      return true;
    default:
      return false;
  }
}

class Maker {
 public:
  Maker(Activation activation, float alpha, float beta, float inverse_scale, float lowest, float highest)
      : activation_(activation),
        alpha_(alpha),
        beta_(beta),
        inverse_scale_(inverse_scale),
        lowest_(lowest - 1.0),
        highest_(highest + 1.0) {}

  std::shared_ptr<const CodeCurve> make() {
    auto curve = std::make_shared<CodeCurve>();
    const double low = end(-1, 0), clamped = end(1, 0), straight = end(1, inverse_scale_);
    const double high = std::min(clamped, straight);
    if (!(high > low)) return nullptr;
    curve->slope = straight < clamped ? inverse_scale_ : 0.0f;
    const double step = (high - low) / (kStretches - 1);
    curve->low = static_cast<float>(low);
    curve->high = static_cast<float>(high);
    curve->step_inverse = static_cast<float>(1.0 / step);
    curve->offset = static_cast<float>(-low / step);
    for (int i = 0; i < kStretches; ++i) fit(*curve, i);
    const double error = 2.0 * largest_error(*curve, step) + 0x1p-16;
    if (!(error <= kWorstError)) return nullptr;
    curve->safe_distance = static_cast<float>(0.5 - error);
    return curve;
  }

 private:
  double exact(double v) const {
    double y = 0;
    activate(activation_, std::span<const double>(&v, 1), std::span<double>(&y, 1), alpha_, beta_);
    return y * inverse_scale_;
  }
  // Results beyond the clamp are all the same.
  double held(double t) const { return std::clamp(t, lowest_, highest_); }

  // From far out on one side inwards as long as the result is within the clamp what it is there, a straight
  // line of the given slope taken off.
  double end(int side, double slope) const {
    const auto rest = [&](double v) { return slope == 0 ? held(exact(v)) : exact(v) - slope * v; };
    const double last = rest(side * kFar);
    double v = kFar;
    while (v > 1e-3 && std::abs(rest(side * v * 0.96875) - last) <= kEndError) v *= 0.96875;
    return side * v;
  }

  // Through five Chebyshev points of the stretch.
  void fit(CodeCurve& curve, int stretch) const {
    std::array<std::array<double, kTerms + 1>, kTerms> rows{};
    for (int i = 0; i < kTerms; ++i) {
      const double x = 0.5 * std::cos(M_PI * (2 * i + 1) / (2 * kTerms));
      double power = 1;
      for (int j = 0; j < kTerms; ++j, power *= x) rows[i][j] = power;
      rows[i][kTerms] = exact((static_cast<double>(stretch) - curve.offset + x) / curve.step_inverse);
    }
    for (int i = 0; i < kTerms; ++i) {  // Gauss, with the largest pivot
      int pivot = i;
      for (int k = i + 1; k < kTerms; ++k) {
        if (std::abs(rows[k][i]) > std::abs(rows[pivot][i])) pivot = k;
      }
      std::swap(rows[i], rows[pivot]);
      for (int k = 0; k < kTerms; ++k) {
        if (k == i) continue;
        const double factor = rows[k][i] / rows[i][i];
        for (int j = i; j <= kTerms; ++j) rows[k][j] -= factor * rows[i][j];
      }
    }
    for (int i = 0; i < kTerms; ++i)
      curve.terms[i][stretch] = static_cast<float>(rows[i][kTerms] / rows[i][i]);
  }

  double error_at(const CodeCurve& curve, float v) const {
    const float wanted = activate(activation_, v, alpha_, beta_) * inverse_scale_;
    return std::abs(held(curve.units(v)) - held(wanted));
  }

  double largest_error(const CodeCurve& curve, double step) const {
    double error = 0;
    for (int i = 0; i < kStretches * kSamples; ++i) {
      const double v = curve.low + (static_cast<double>(i) / kSamples - 0.5) * step;
      error = std::max(error, error_at(curve, static_cast<float>(v)));
    }
    // With a tiny scale all codes lie where the function crosses 0, far between two of the samples above.
    for (double v = 1; v > 1e-30; v *= 0.9) {
      for (const double at : {v, -v}) {
        if (at >= curve.low && at <= curve.high)
          error = std::max(error, error_at(curve, static_cast<float>(at)));
      }
    }
    for (double v = 1; v < 1e30; v *= 1.5) {
      if (v > curve.high) error = std::max(error, error_at(curve, static_cast<float>(v)));
      if (-v < curve.low) error = std::max(error, error_at(curve, static_cast<float>(-v)));
    }
    return error;
  }

  Activation activation_;
  float alpha_, beta_, inverse_scale_;
  double lowest_, highest_;
};

}  // namespace

float CodeCurve::units(float v) const {
  const float below = v > high ? high : v;
  const float held = below < low ? low : below;
  const float u = std::fma(held, step_inverse, offset);
  const float nearest = std::nearbyintf(u);
  const int i = static_cast<int>(nearest) & (kStretches - 1);
  const float x = u - nearest;
  float t = terms[kTerms - 1][i];
  for (int k = kTerms - 1; k-- > 0;) t = std::fma(t, x, terms[k][i]);
  return std::fma(v - below, slope, t);
}

std::shared_ptr<const CodeCurve> make_code_curve(Activation activation, float alpha, float beta,
                                                 float inverse_scale, float lowest, float highest) {
  if (!is_smooth(activation) || !(inverse_scale > 1e-20f && inverse_scale < 1e20f)) return nullptr;
  return Maker(activation, alpha, beta, inverse_scale, lowest, highest).make();
}

}  // namespace kvant::backends::cpu
