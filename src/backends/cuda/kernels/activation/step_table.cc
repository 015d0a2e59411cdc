// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/kernels/activation/step_table.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "tensor/quantize.h"

namespace kvant::backends::cuda {
namespace {

constexpr int kSamples = 4096;      // between the ends, and again around a turning point
constexpr int kQuietFloats = 256;   // so many floats of one code end the surroundings of a step
constexpr int kMostFloats = 65536;  // of the surroundings of a step
constexpr float kFar = 3.0e38f;

// Floats in ascending order are integers in ascending order.
int64_t order_of(float v) {
  const auto bits = std::bit_cast<int32_t>(v);
  return bits < 0 ? static_cast<int64_t>(INT32_MIN) - bits : bits;
}
float float_at(int64_t order) {
  const auto value = static_cast<int32_t>(order < 0 ? INT32_MIN - order : order);
  return std::bit_cast<float>(value);
}

int cell_of(const StepTable& table, float v) {
  const int32_t cell = round_even(std::fma(v, table.cells_per_unit, table.offset));
  return std::clamp(cell, 0, StepTable::kCells - 1);
}

class StepMaker {
 public:
  explicit StepMaker(const Epilogue& epilogue) : e_(epilogue) {}

  bool make(StepTable& to) {
    std::vector<int64_t> points = sample_points();
    for (size_t i = 0; i + 1 < points.size() && !too_many(); ++i) split(points[i], points[i + 1]);
    for (size_t i = 0; i < changes_.size() && !too_many(); ++i) look_around(changes_[i]);
    if (too_many()) return false;
    std::sort(steps_.begin(), steps_.end());
    steps_.erase(std::unique(steps_.begin(), steps_.end()), steps_.end());
    fill(to);
    return true;
  }

 private:
  int32_t code(float v) const {
    const float y = activate(e_.activation, v, e_.alpha, e_.beta) * e_.inverse_scale;
    const int64_t q = static_cast<int64_t>(round_even(y)) + e_.out.zero_point;
    return static_cast<int32_t>(std::clamp<int64_t>(q, e_.out.low, e_.out.high));
  }
  int32_t code_at(int64_t order) const { return code(float_at(order)); }
  bool too_many() const {
    return changes_.size() > StepTable::kMostSteps || steps_.size() > StepTable::kMostSteps;
  }

  // From where on, away from zero, the codes no longer change.
  float end(float side) const {
    const int32_t last = code(side * kFar);
    float v = kFar;
    while (v > 1e-30f && code(side * v * 0.75f) == last) v *= 0.75f;
    return side * v;
  }

  // Where activation and codes turn back, for those that fall before they rise.
  float turning_point() const {
    float best = 0;
    double least = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= 16 * kSamples; ++i) {
      const float v = -4.0f * static_cast<float>(i) / (16 * kSamples);
      const auto y = static_cast<double>(activate(e_.activation, v, e_.alpha, e_.beta));
      if (y < least) least = y, best = v;
    }
    return best;
  }

  std::vector<int64_t> sample_points() const {
    const float low = end(-1), high = end(1), turn = turning_point();
    std::vector<int64_t> points = {order_of(-kFar), order_of(kFar), order_of(0.0f), order_of(turn)};
    const auto add = [&points](double v) { points.push_back(order_of(static_cast<float>(v))); };
    for (int i = 0; i <= kSamples; ++i) {
      add(low + (static_cast<double>(high) - low) * i / kSamples);
      add(turn + 0.1 * (2.0 * i / kSamples - 1.0));
    }
    for (double v = 1e-30; v < kFar; v *= 1.5) add(v), add(-v);
    std::sort(points.begin(), points.end());
    points.erase(std::unique(points.begin(), points.end()), points.end());
    return points;
  }

  // Finds changes between two floats, taking what lies between for monotone but for rounding.
  void split(int64_t a, int64_t b) {
    if (too_many()) return;
    const int32_t first = code_at(a), last = code_at(b);
    if (first == last) return;
    if (b - a == 1) {
      changes_.push_back(b);
      return;
    }
    const int64_t middle = a + (b - a) / 2;
    split(a, middle);
    split(middle, b);
  }

  // Rounding inside the activation makes codes go back and forth near a step: every float there is looked at.
  void look_around(int64_t change) {
    for (const int direction : {-1, 1}) {
      int quiet = 0;
      const int64_t end_of_floats = order_of(std::numeric_limits<float>::max());
      for (int i = 0; i < kMostFloats && quiet < kQuietFloats; ++i, ++quiet) {
        const int64_t at = change + direction * i;
        if (at <= -end_of_floats || at >= end_of_floats) break;
        if (code_at(at - 1) != code_at(at)) {
          if (std::find(steps_.rbegin(), steps_.rend(), at) == steps_.rend()) steps_.push_back(at);
          if (too_many()) return;
          quiet = 0;
        }
      }
    }
  }

  void fill(StepTable& to) const {
    to = {};
    to.count = static_cast<int32_t>(steps_.size());
    to.code_of_nan = std::clamp(e_.out.zero_point, e_.out.low, e_.out.high);
    std::fill(std::begin(to.from), std::end(to.from), std::numeric_limits<float>::quiet_NaN());
    to.codes[0] = static_cast<uint8_t>(code(-kFar));
    for (size_t i = 0; i < steps_.size(); ++i) {
      to.from[i] = float_at(steps_[i]);
      to.codes[i + 1] = static_cast<uint8_t>(code_at(steps_[i]));
    }
    if (steps_.empty()) return;
    const double low = to.from[0], high = to.from[steps_.size() - 1];
    const double width = std::max(high - low, 1e-30);
    to.cells_per_unit = static_cast<float>((StepTable::kCells - 2) / width);
    to.offset = static_cast<float>(1.0 - low * static_cast<double>(to.cells_per_unit));
    size_t before = 0;
    for (int cell = 0; cell < StepTable::kCells; ++cell) {
      while (before < steps_.size() && cell_of(to, to.from[before]) < cell) ++before;
      to.first[cell] = static_cast<uint16_t>(before);
    }
  }

  const Epilogue& e_;
  std::vector<int64_t> changes_, steps_;
};

}  // namespace

bool make_step_table(const Epilogue& epilogue, StepTable& table) {
  return epilogue.codes() && epilogue.activation != Activation::None && StepMaker(epilogue).make(table);
}

uint8_t code_by_steps(const StepTable& table, float v) {
  if (v != v) return static_cast<uint8_t>(table.code_of_nan);
  int step = table.first[cell_of(table, v)];
  while (table.from[step] <= v) ++step;
  return table.codes[step];
}

}  // namespace kvant::backends::cuda
