// SPDX-License-Identifier: Apache-2.0
#include "quant/adjust/output_error.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace kvant::quant {
namespace {

bool is_distribution(std::span<const float> row) {
  double sum = 0;
  for (const float p : row) {
    if (!(p >= 0)) return false;
    sum += p;
  }
  return std::fabs(sum - 1) < 1e-3;
}

double divergence(std::span<const float> p, std::span<const float> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] > 0) sum += p[i] * std::log(p[i] / std::max(static_cast<double>(q[i]), 1e-12));
  }
  return sum;
}

}  // namespace

void OutputError::add(std::span<const Tensor> expected, std::span<const Tensor> actual) {
  KVANT_CHECK(expected.size() == actual.size(), "two models of different outputs are compared");
  outputs_.resize(expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    if (!is_float(expected[i].dtype())) continue;
    KVANT_CHECK(expected[i].shape() == actual[i].shape(), "two models of different outputs are compared");
    const std::vector<float> a = expected[i].to_floats(), b = actual[i].to_floats();
    Sums& sums = outputs_[i];
    for (size_t k = 0; k < a.size(); ++k) {
      const double x = a[k], d = static_cast<double>(b[k]) - x;
      sums.sum += x;
      sums.squares += x * x;
      sums.error += std::isfinite(d) ? d * d : std::numeric_limits<double>::infinity();
    }
    sums.count += static_cast<double>(a.size());
    const size_t columns = expected[i].rank() < 2 ? 1 : static_cast<size_t>(expected[i].shape().back());
    for (size_t row = 0; columns > 1 && sums.probabilities && row + columns <= a.size(); row += columns) {
      const std::span<const float> p = std::span(a).subspan(row, columns);
      const std::span<const float> q = std::span(b).subspan(row, columns);
      sums.probabilities = is_distribution(p) && is_distribution(q);
      sums.divergence += divergence(p, q);
      sums.rows += 1;
    }
  }
}

double OutputError::value() const {
  double total = 0;
  for (const Sums& s : outputs_) {
    if (s.count == 0) continue;
    if (!std::isfinite(s.error)) return std::numeric_limits<double>::infinity();
    if (s.probabilities && s.rows > 0) {
      total += std::max(0.0, s.divergence / s.rows);
    } else {
      const double spread = s.squares - s.sum * s.sum / s.count;
      total += s.error / std::max(spread, std::numeric_limits<double>::min());
    }
  }
  return total;
}

}  // namespace kvant::quant
