// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/kernels/activation/code_curve.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

namespace kvant::backends::cpu {
namespace {

constexpr int kTerms = CodeCurve::kTerms, kStretches = CodeCurve::kStretches;
constexpr double kFar = 1e4;          // beyond it activations are constant or a straight line
constexpr double kWorstError = 0.02;  // of a code: with more, too many results would be computed twice
constexpr double kGoodError = 0.001;  // of a code: more is worth another try
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
    const double clamped = end(1, 0), straight = end(1, inverse_scale_), high = std::min(clamped, straight);
    const float slope = straight < clamped ? inverse_scale_ : 0.0f;
    auto whole = over(end(-1, 0), high, slope, -std::numeric_limits<float>::infinity());
    if (whole && whole->safe_distance > 0.5f - kGoodError) return whole;
    const double edge = left_edge();
    if (edge == 0) return whole;
    auto part = over(edge, high, slope, static_cast<float>(edge));
    return part && (!whole || part->safe_distance > whole->safe_distance) ? part : whole;
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

  // The first v below 0 from which on codes are the lowest, for a while at least; 0 where there is none.
  double left_edge() const {
    for (double v = 1e-9; v < 64; v *= 1.03125) {
      if (held(exact(-v)) <= lowest_) return -v;
    }
    return 0;
  }

  // The curve of the stretch from low to high, or nothing.
  std::shared_ptr<const CodeCurve> over(double low, double high, float slope, float known_from) const {
    if (!(high > low)) return nullptr;
    auto curve = std::make_shared<CodeCurve>();
    const double step = (high - low) / (kStretches - 1);
    curve->low = static_cast<float>(low);
    curve->high = static_cast<float>(high);
    curve->slope = slope;
    curve->step_inverse = static_cast<float>(1.0 / step);
    curve->offset = static_cast<float>(-low / step);
    curve->known_from = known_from;
    for (int i = 0; i < kStretches; ++i) fit(*curve, i);
    const double error = 2.0 * largest_error(*curve, step) + 0x1p-16;
    if (!(error <= kWorstError)) return nullptr;
    curve->safe_distance = static_cast<float>(0.5 - error);
    return curve;
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

  // Of the polynomial at v, clamped or not.
  double error_at(const CodeCurve& curve, float v, bool clamped) const {
    const double wanted = static_cast<double>(activate(activation_, v, alpha_, beta_) * inverse_scale_);
    const auto have = static_cast<double>(curve.units(v));
    return clamped ? std::abs(held(have) - held(wanted)) : std::abs(have - wanted);
  }

  // The largest error on points of a stretch. Unless all of it is beyond the clamp on one side, the
  // polynomial has to be right everywhere: what comes out between the points then differs little from what
  // comes out at them.
  double error_of_stretch(const CodeCurve& curve, int stretch, double step) const {
    const auto point = [&](int k) {
      return static_cast<float>(curve.low + (stretch + static_cast<double>(k) / kSamples - 0.5) * step);
    };
    const double first = held(exact(std::max(point(0), curve.known_from)));
    bool clamped = first == lowest_ || first == highest_;
    for (int k = 0; k <= kSamples; ++k)
      clamped = clamped && (point(k) < curve.known_from || held(exact(point(k))) == first);
    double error = 0;
    for (int k = 0; k <= kSamples; ++k) {
      const bool outside = point(k) > curve.high || point(k) < curve.low;
      if (point(k) >= curve.known_from)
        error = std::max(error, error_at(curve, point(k), clamped || (outside && curve.slope == 0)));
    }
    // u is rounded to 2^-20 at most, three times.
    return clamped ? error : error + std::abs(static_cast<double>(curve.terms[1][stretch])) * 0x1p-18;
  }

  double largest_error(const CodeCurve& curve, double step) const {
    double error = 0;
    for (int i = 0; i < kStretches; ++i) error = std::max(error, error_of_stretch(curve, i, step));
    // With a tiny scale all codes lie where the function crosses 0, far between two of the samples above.
    for (double v = 1; v > 1e-30; v *= 0.9) {
      for (const double at : {v, -v}) {
        if (at >= static_cast<double>(std::max(curve.low, curve.known_from)) &&
            at <= static_cast<double>(curve.high))
          error = std::max(error, error_at(curve, static_cast<float>(at), true));
      }
    }
    for (double v = 1e-3; v < 1e30; v *= 1.25) {
      if (v > curve.high) error = std::max(error, error_at(curve, static_cast<float>(v), true));
      if (-v < curve.low && -v > curve.known_from)
        error = std::max(error, error_at(curve, static_cast<float>(-v), true));
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
