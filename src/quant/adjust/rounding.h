// SPDX-License-Identifier: Apache-2.0
// Which way to round each weight of a layer so that the layer's result, not each weight, is nearest to what
// it was: AdaRound (Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization").
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace kvant::quant {

// The error of one group of outputs as a quadratic form. With x what the quantized layer reads, w its weights
// and y what the layer should give without its bias: G = E[x x'], and for each output c = E[x y].
struct RoundingProblem {
  int64_t depth = 0;              // weights of one output
  std::vector<float> gram = {};   // G, depth x depth
  std::vector<float> cross = {};  // c, outputs x depth
  double worth = 0;               // how many independent samples they are worth; 0: all
  double samples = 0;             // that G and c are means over
  std::vector<double> mean_x = {}, mean_y = {};

  // Adds rows of x [rows x depth] and y [rows x outputs] (sums; finish() makes means of them).
  void add(std::span<const float> x, std::span<const float> y, ThreadPool& pool);
  // `centred`: G and c become covariances, for layers whose bias takes up the mean error.
  void finish(bool centred = false);
};

struct RoundingOptions {
  int iterations = 300;
  float learning_rate = 0.03f;
  float regularization = 1.0f;  // in units of the error of one weight that is rounded wholly the wrong way
};

struct RoundingResult {
  std::vector<float> codes;  // integers, outputs x depth
  double error_nearest = 0;  // of round to nearest, summed over outputs, in the units of the weights' scales
  double error = 0;          // of `codes`; never above error_nearest
};

// `weights` (outputs x depth) in units of their scales: codes are its floor or that plus one, within [low,
// high]. Continuous variables h in [0, 1] by a rectified sigmoid, Adam on the whole quadratic form, the
// paper's regularizer with its exponent annealed from 20 to 2 after a fifth of the steps; then single weights
// and pairs are flipped as long as that lowers the error. Outputs for which nearest rounding is better keep
// it: on the problem's samples or, where it has any, on those of `check`, which codes are not fitted to.
// `scales` has one entry for each output. Of few samples only the diagonal of G is believed: G's other
// entries and the input error are shrunk by worth / (worth + depth). Deterministic.
RoundingResult solve_rounding(const RoundingProblem& problem, std::span<const float> weights,
                              std::span<const float> scales, float low, float high,
                              const RoundingOptions& options, ThreadPool& pool,
                              const RoundingProblem& check = {});

}  // namespace kvant::quant
