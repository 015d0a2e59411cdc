// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/rounding.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/interrupt.h"
#include "quant/adjust/dense_product.h"

namespace kvant::quant {
namespace {

// The paper's stretch of the sigmoid: h reaches 0 and 1 for finite v.
constexpr float kHigh = 1.1f, kLow = -0.1f;
constexpr float kFirstExponent = 20, kLastExponent = 2;
constexpr float kWarmUp = 0.2f;  // share of the steps without regularizer
constexpr int kMaxFlipSweeps = 20;
constexpr double kLeastGain = 1e-7;  // of a flip, in the units of the error

struct Adam {
  std::vector<float> mean, square;
  float beta1 = 0.9f, beta2 = 0.999f;
};

// The error in units of codes: e'Ge + 2 d'e for an output whose codes differ from its weights by e; G's mean
// diagonal is 1.
class Solver {
 public:
  Solver(const RoundingProblem& problem, std::span<const float> weights, std::span<const float> scales,
         float low, float high, const RoundingOptions& options, ThreadPool& pool, bool whole = false)
      : depth_(problem.depth),
        outputs_(static_cast<int64_t>(scales.size())),
        weights_(weights),
        low_(low),
        high_(high),
        options_(options),
        pool_(pool) {
    const double worth = problem.worth > 0 ? problem.worth : problem.samples;
    scale_problem(problem, scales, whole ? 1.0 : worth / (worth + static_cast<double>(depth_)));
    floor_.resize(weights.size());
    for (size_t i = 0; i < weights.size(); ++i) floor_[i] = std::clamp(std::floor(weights[i]), low, high - 1);
  }

  // Gives the outputs whose codes do worse than nearest rounding here that one back.
  void reject(RoundingResult& result) const {
    pool_.parallel_for(outputs_, [&](int64_t first, int64_t last) {
      std::vector<float> nearest(static_cast<size_t>(depth_)), codes(nearest.size());
      for (int64_t k = first; k < last; ++k) {
        for (size_t j = 0; j < nearest.size(); ++j) {
          nearest[j] = std::clamp(std::nearbyint(weights_[at(k) + j]), low_, high_) + 0.0f;
          codes[j] = result.codes[at(k) + j];
        }
        if (error_of(k, codes) < error_of(k, nearest)) continue;
        std::copy(nearest.begin(), nearest.end(), result.codes.begin() + static_cast<std::ptrdiff_t>(at(k)));
      }
    });
  }

  RoundingResult run() {
    RoundingResult result;
    result.codes.resize(weights_.size());
    const std::vector<float> learned = learn();
    std::vector<double> nearest(static_cast<size_t>(outputs_)), chosen(nearest.size());
    pool_.parallel_for(outputs_, [&](int64_t first, int64_t last) {
      for (int64_t k = first; k < last; ++k) {
        choose(k, learned, result.codes, nearest[static_cast<size_t>(k)], chosen[static_cast<size_t>(k)]);
      }
    });
    for (size_t k = 0; k < nearest.size(); ++k) {
      result.error_nearest += nearest[k];
      result.error += chosen[k];
    }
    return result;
  }

 private:
  size_t at(int64_t output) const { return static_cast<size_t>(output * depth_); }

  void scale_problem(const RoundingProblem& problem, std::span<const float> scales, double trust) {
    const auto n = static_cast<size_t>(depth_);
    double trace = 0;
    for (size_t j = 0; j < n; ++j) trace += problem.gram[j * n + j];
    const double unit = trace > 0 ? trace / static_cast<double>(n) : 1.0;
    gram_.resize(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const double shrunk = i == j ? 1.0 : trust;
        gram_[i * n + j] = static_cast<float>(problem.gram[i * n + j] / unit * shrunk);
      }
    }
    // d = G w - c / s, from the same means.
    drift_.assign(weights_.size(), 0.0f);
    std::vector<float> pure(n * n);
    for (size_t i = 0; i < pure.size(); ++i) pure[i] = static_cast<float>(problem.gram[i] / unit);
    add_product(weights_.data(), pure.data(), drift_.data(), outputs_, depth_, depth_, pool_);
    for (int64_t k = 0; k < outputs_; ++k) {
      for (size_t j = 0; j < n; ++j) {
        float& drift = drift_[at(k) + j];
        drift = static_cast<float>(
            trust * (drift - problem.cross[at(k) + j] / (unit * scales[static_cast<size_t>(k)])));
      }
    }
  }

  static float stretched(float sigmoid) { return std::clamp(sigmoid * (kHigh - kLow) + kLow, 0.0f, 1.0f); }

  // h of every weight after the last step.
  std::vector<float> learn() const {
    std::vector<float> v(weights_.size()), error(weights_.size()), slope(weights_.size());
    std::vector<float> sigmoids(weights_.size());
    for (size_t i = 0; i < v.size(); ++i) {
      const float share = std::clamp(weights_[i] - floor_[i], 0.01f, 0.99f);
      const float sigmoid = (share - kLow) / (kHigh - kLow);
      v[i] = std::log(sigmoid / (1 - sigmoid));
    }
    Adam adam;
    adam.mean.assign(v.size(), 0.0f);
    adam.square.assign(v.size(), 0.0f);
    for (int step = 0; step < options_.iterations; ++step) {
      check_interrupt();
      pool_.parallel_for(static_cast<int64_t>(v.size()), [&](int64_t first, int64_t last) {
        for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
          sigmoids[i] = 1 / (1 + std::exp(-v[i]));
          error[i] = floor_[i] + stretched(sigmoids[i]) - weights_[i];
          slope[i] = drift_[i];
        }
      });
      add_product(error.data(), gram_.data(), slope.data(), outputs_, depth_, depth_, pool_);
      update(step, slope, sigmoids, adam, v);
    }
    for (float& x : v) x = stretched(1 / (1 + std::exp(-x)));
    return v;
  }

  void update(int step, const std::vector<float>& slope, const std::vector<float>& sigmoids, Adam& adam,
              std::vector<float>& v) const {
    const float progress = static_cast<float>(step) / static_cast<float>(options_.iterations);
    const float late = std::max(0.0f, (progress - kWarmUp) / (1 - kWarmUp));
    const float exponent = kFirstExponent + (kLastExponent - kFirstExponent) * late;
    const float strength = progress < kWarmUp ? 0 : options_.regularization;
    const float correct1 = 1 - std::pow(adam.beta1, static_cast<float>(step + 1));
    const float correct2 = 1 - std::pow(adam.beta2, static_cast<float>(step + 1));
    pool_.parallel_for(static_cast<int64_t>(v.size()), [&](int64_t first, int64_t last) {
      for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
        const float h = stretched(sigmoids[i]);
        float gradient = 0;  // where h is 0 or 1, the sigmoid is cut off
        if (h > 0 && h < 1) {
          gradient = 2 * slope[i];
          if (strength > 0) {
            const float away = 2 * h - 1;  // the regularizer is 1 - |away|^exponent
            gradient -=
                strength * 2 * exponent * std::copysign(std::pow(std::fabs(away), exponent - 1), away);
          }
          gradient *= sigmoids[i] * (1 - sigmoids[i]) * (kHigh - kLow);
        }
        adam.mean[i] = adam.beta1 * adam.mean[i] + (1 - adam.beta1) * gradient;
        adam.square[i] = adam.beta2 * adam.square[i] + (1 - adam.beta2) * gradient * gradient;
        v[i] -= options_.learning_rate * (adam.mean[i] / correct1) /
                (std::sqrt(adam.square[i] / correct2) + 1e-8f);
      }
    });
  }

  // Codes of one output: the best of nearest, and of nearest and learned with flips.
  void choose(int64_t output, const std::vector<float>& learned, std::vector<float>& codes, double& nearest,
              double& chosen) const {
    const auto n = static_cast<size_t>(depth_);
    std::vector<float> best(n), candidate(n);
    for (size_t j = 0; j < n; ++j)
      best[j] = std::clamp(std::nearbyint(weights_[at(output) + j]), low_, high_);
    nearest = chosen = error_of(output, best);
    for (const bool from_nearest : {false, true}) {
      for (size_t j = 0; j < n; ++j) {
        const size_t i = at(output) + j;
        candidate[j] = from_nearest ? std::clamp(std::nearbyint(weights_[i]), low_, high_)
                                    : floor_[i] + (learned[i] >= 0.5f ? 1.0f : 0.0f);
      }
      flip(output, candidate);
      const double error = error_of(output, candidate);
      if (error < chosen) {
        chosen = error;
        best = candidate;
      }
    }
    for (float& code : best) code += 0.0f;  // no negative zeros
    std::copy(best.begin(), best.end(), codes.begin() + static_cast<std::ptrdiff_t>(at(output)));
  }

  // G e + d
  std::vector<double> slope_of(int64_t output, const std::vector<float>& codes) const {
    const auto n = static_cast<size_t>(depth_);
    std::vector<double> slope(n);
    for (size_t j = 0; j < n; ++j) slope[j] = drift_[at(output) + j];
    for (size_t i = 0; i < n; ++i) {
      const double e = static_cast<double>(codes[i]) - weights_[at(output) + i];
      const float* row = gram_.data() + i * n;
      for (size_t j = 0; j < n; ++j) slope[j] += e * row[j];
    }
    return slope;
  }

  double error_of(int64_t output, const std::vector<float>& codes) const {
    const std::vector<double> slope = slope_of(output, codes);
    double error = 0;
    for (size_t j = 0; j < slope.size(); ++j) {
      const double e = static_cast<double>(codes[j]) - weights_[at(output) + j];
      error += e * (slope[j] + drift_[at(output) + j]);
    }
    return error;
  }

  // Moves single weights to their other neighbour while that lowers the error, then pairs of them.
  void flip(int64_t output, std::vector<float>& codes) const {
    std::vector<double> slope = slope_of(output, codes);
    for (int sweep = 0; sweep < kMaxFlipSweeps; ++sweep) {
      if (!flip_singles(output, codes, slope) && !flip_pairs(output, codes, slope)) return;
    }
  }

  double move_of(int64_t output, const std::vector<float>& codes, size_t j) const {
    return codes[j] > floor_[at(output) + j] ? -1.0 : 1.0;
  }

  void move(size_t j, double by, std::vector<float>& codes, std::vector<double>& slope) const {
    codes[j] += static_cast<float>(by);
    const float* row = gram_.data() + j * slope.size();
    for (size_t i = 0; i < slope.size(); ++i) slope[i] += by * row[i];
  }

  bool flip_singles(int64_t output, std::vector<float>& codes, std::vector<double>& slope) const {
    bool changed = false;
    for (size_t j = 0; j < slope.size(); ++j) {
      const double by = move_of(output, codes, j);
      if (by * 2 * slope[j] + gram_[j * slope.size() + j] >= -kLeastGain) continue;
      move(j, by, codes, slope);
      changed = true;
    }
    return changed;
  }

  bool flip_pairs(int64_t output, std::vector<float>& codes, std::vector<double>& slope) const {
    const size_t n = slope.size();
    std::vector<double> moves(n), gains(n);
    for (size_t j = 0; j < n; ++j) moves[j] = move_of(output, codes, j);
    const auto gain_of = [&](size_t j) { return moves[j] * 2 * slope[j] + gram_[j * n + j]; };
    for (size_t j = 0; j < n; ++j) gains[j] = gain_of(j);
    bool changed = false;
    for (size_t j = 0; j < n; ++j) {
      const float* row = gram_.data() + j * n;
      double best = -kLeastGain;
      size_t with = n;
      for (size_t i = 0; i < n; ++i) {
        const double gain = gains[i] + gains[j] + 2 * moves[i] * moves[j] * row[i];
        if (gain < best && i != j) {
          best = gain;
          with = i;
        }
      }
      if (with == n) continue;
      for (const size_t i : {j, with}) move(i, std::exchange(moves[i], -moves[i]), codes, slope);
      for (size_t i = 0; i < n; ++i) gains[i] = gain_of(i);
      changed = true;
    }
    return changed;
  }

  int64_t depth_, outputs_;
  std::span<const float> weights_;
  float low_, high_;
  const RoundingOptions& options_;
  ThreadPool& pool_;
  std::vector<float> gram_, drift_, floor_;
};

}  // namespace

void RoundingProblem::add(std::span<const float> x, std::span<const float> y, ThreadPool& pool) {
  const auto n = static_cast<size_t>(depth);
  const size_t rows = x.size() / n, outputs = y.size() / std::max<size_t>(rows, 1);
  KVANT_CHECK(rows * n == x.size() && rows * outputs == y.size(), "rows of x and y do not fit");
  if (rows == 0) return;
  gram.resize(n * n, 0.0f);
  cross.resize(outputs * n, 0.0f);
  std::vector<float> turned(std::max(n, outputs) * rows);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < n; ++j) turned[j * rows + r] = x[r * n + j];
  }
  add_product(turned.data(), x.data(), gram.data(), depth, static_cast<int64_t>(rows), depth, pool);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t k = 0; k < outputs; ++k) turned[k * rows + r] = y[r * outputs + k];
  }
  add_product(turned.data(), x.data(), cross.data(), static_cast<int64_t>(outputs),
              static_cast<int64_t>(rows), depth, pool);
  mean_x.resize(n, 0.0);
  mean_y.resize(outputs, 0.0);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t j = 0; j < n; ++j) mean_x[j] += x[r * n + j];
    for (size_t k = 0; k < outputs; ++k) mean_y[k] += y[r * outputs + k];
  }
  samples += static_cast<double>(rows);
}

void RoundingProblem::finish(bool centred) {
  if (samples == 0) return;
  for (auto* means : {&mean_x, &mean_y})
    for (double& mean : *means) mean /= samples;
  const auto n = static_cast<size_t>(depth);
  const auto settle = [&](std::vector<float>& sums, const std::vector<double>& rows) {
    for (size_t i = 0; i < sums.size(); ++i) {
      const double mean = sums[i] / samples;
      sums[i] = static_cast<float>(centred ? mean - rows[i / n] * mean_x[i % n] : mean);
    }
  };
  settle(gram, mean_x);
  settle(cross, mean_y);
}

RoundingResult solve_rounding(const RoundingProblem& problem, std::span<const float> weights,
                              std::span<const float> scales, float low, float high,
                              const RoundingOptions& options, ThreadPool& pool,
                              const RoundingProblem& check) {
  KVANT_CHECK(problem.depth > 0 && static_cast<size_t>(problem.depth) * scales.size() == weights.size(),
              "the rounding problem does not fit its weights");
  RoundingResult result = Solver(problem, weights, scales, low, high, options, pool).run();
  if (check.samples > 0) Solver(check, weights, scales, low, high, options, pool, true).reject(result);
  return result;
}

}  // namespace kvant::quant
