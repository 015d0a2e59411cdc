// SPDX-License-Identifier: Apache-2.0
// A smooth activation and the quantization behind it, v -> activation(v) * inverse_scale, as one polynomial
// for each of 32 stretches of v. Vector kernels evaluate it, and where the result comes so close to a
// rounding tie that the polynomial could fall to the other side they ask activate() itself: so the codes are
// the definition's, bit for bit.
#pragma once

#include <memory>

#include "tensor/activation.h"

namespace kvant::backends::cpu {

struct CodeCurve {
  static constexpr int kStretches = 32;
  static constexpr int kTerms = 5;

  // v is held within [low, high]: below, its code is that of the end; above, the result grows by `slope`
  // times the rest (0 where it is clamped or constant). u = v * step_inverse + offset lies in [-1/2, 31 +
  // 1/2]; stretch i is around u == i, and its polynomial is in u - i.
  float low, high, slope, step_inverse, offset;
  // Below this v (often minus infinity) the curve says nothing: where codes end before the function turns
  // back.
  float known_from;
  // A result nearer to an integer than this rounds as the definition's does.
  float safe_distance;
  alignas(64) float terms[kTerms][kStretches];  // constant first

  // In plain C++, as the vector kernels compute it.
  float units(float v) const;
};

// The curve of an activation whose codes minus zero point are clamped to [lowest, highest]; nothing when the
// function has kinks, is cheap as it is, or is not told well enough by 32 polynomials. Same arguments, same
// bytes.
std::shared_ptr<const CodeCurve> make_code_curve(Activation activation, float alpha, float beta,
                                                 float inverse_scale, float lowest, float highest);

}  // namespace kvant::backends::cpu
