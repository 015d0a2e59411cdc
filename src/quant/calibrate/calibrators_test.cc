// SPDX-License-Identifier: Apache-2.0
// Entropy, mse and auto against brute force over the values themselves, and against answers in closed form.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/random.h"
#include "quant/calibrate/quantization_error.h"
#include "quant/calibrate/value_histogram.h"
#include "tensor/quantize.h"

namespace kvant::quant {
namespace {

std::vector<float> draw(size_t n, uint64_t seed, const std::function<float(Random&)>& sample) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& value : values) value = sample(random);
  return values;
}

struct Distribution {
  const char* name;
  std::function<float(Random&)> sample;
};

std::vector<Distribution> distributions() {
  return {
      {"normal", [](Random& r) { return r.normal(); }},
      {"half normal", [](Random& r) { return std::fabs(r.normal()) * 0.01f; }},
      {"uniform", [](Random& r) { return r.uniform(-3, 5); }},
      {"Laplace", [](Random& r) { return (r.uniform() < 0.5f ? -1 : 1) * -std::log(1 - r.uniform()); }},
      {"exponential", [](Random& r) { return -300 * std::log(1 - r.uniform()); }},
      {"relu", [](Random& r) { return std::max(r.normal() - 1, 0.0f); }},
      {"relu6", [](Random& r) { return std::clamp(3 * r.normal(), 0.0f, 6.0f); }},
      {"silu",
       [](Random& r) {
         const float x = 3 * r.normal();
         return x / (1 + std::exp(-x));
       }},
      {"two scales", [](Random& r) { return r.uniform() < 0.9f ? r.normal() : 6 * r.normal(); }},
  };
}

Range range_of(const char* calibrator, const CalibratorOptions& options, const std::vector<float>& values) {
  const auto made = calibrator_named(calibrator).make(options);
  for (size_t i = 0; i < values.size(); i += 4096) {
    made->observe(std::span(values).subspan(i, std::min(values.size() - i, size_t{4096})));
  }
  return made->range();
}

// Migacz 2017 as pytorch-quantization writes it, literally.
std::vector<double> divergences(const std::vector<float>& values, size_t levels) {
  double amax = 0;
  for (const float x : values) amax = std::max(amax, std::fabs(static_cast<double>(x)));
  std::vector<double> bins(2048);
  for (const float x : values) {
    const auto at = static_cast<size_t>(std::fabs(static_cast<double>(x)) / amax * 2048);
    ++bins[std::min(at, size_t{2047})];
  }
  bins[0] = bins[1];
  double total = 0;
  for (const double count : bins) total += count;
  std::vector<double> result(2049, std::numeric_limits<double>::infinity());
  for (size_t i = 128; i <= 2048; ++i) {
    std::vector<double> p(bins.begin(), bins.begin() + static_cast<ptrdiff_t>(i)), q(i);
    std::vector<double> sums(levels), occupied(levels);
    double kept = 0;
    for (size_t j = 0; j < i; ++j) {
      kept += bins[j];
      sums[j * levels / i] += bins[j];
      occupied[j * levels / i] += bins[j] > 0 ? 1 : 0;
    }
    p.back() += total - kept;
    double divergence = 0;
    for (size_t j = 0; j < i; ++j) {
      const size_t level = j * levels / i;
      if (bins[j] > 0) q[j] = sums[level] / occupied[level] / kept;
      if (p[j] > 0) divergence += p[j] / total * std::log(p[j] / total / q[j]);
    }
    result[i] = divergence;
  }
  return result;
}

TEST(Entropy, WithinOnePerCentOfThePublishedDefinition) {
  for (const Distribution& distribution : distributions()) {
    const std::vector<float> values = draw(300'000, 21, distribution.sample);
    float amax = 0;
    for (const float x : values) amax = std::max(amax, std::fabs(x));
    for (const int bits : {8, 4}) {
      const std::vector<double> expected = divergences(values, size_t{1} << (bits - 1));
      size_t best = 128;
      for (size_t i = 128; i <= 2048; ++i) best = expected[i] <= expected[best] ? i : best;
      const float threshold = amax * static_cast<float>(best) / 2048;
      EXPECT_NEAR(range_of("entropy", {.bits = bits}, values).amax(), threshold, 0.01f * threshold)
          << distribution.name << ", " << bits << " bits";
    }
  }
}

TEST(Entropy, ClosedForm) {
  // All bins alike: merged and spread again they are what they were, and clipping only loses. So the whole.
  std::vector<float> even;
  for (int i = 0; i < 2048 * 32; ++i) even.push_back((static_cast<float>(i) + 0.5f) / (2048 * 32));
  EXPECT_NEAR(range_of("entropy", {}, even).amax(), 1.0f, 0.01f);
  // 128 values on a grid, alike often: each level has one of them.
  std::vector<float> grid;
  for (int i = 0; i < 1280; ++i) grid.push_back(static_cast<float>(i % 128 + 1) / 16);
  EXPECT_NEAR(range_of("entropy", {}, grid).amax(), 8.0f, 0.08f);
}

TEST(Entropy, FrequentValuesDoNotSwallowTheRest) {
  // Three of four values at 0.7, the others spread over [0, 6] as a ReLU6 leaves them.
  const std::vector<float> values = draw(400'000, 5, [](Random& r) {
    return r.uniform() < 0.75f ? 0.7f : std::clamp(2 + 3 * r.normal(), 0.0f, 6.0f);
  });
  EXPECT_GT(range_of("entropy", {}, values).amax(), 2.5f);
}

TEST(Entropy, FarOutliersDoNotHideTheBulk) {
  // The bulk alone has its optimum at its end; 2048 bins up to the outlier would hold it in one bin.
  std::vector<float> values = draw(500'000, 4, [](Random& r) { return r.uniform(-2, 2); });
  values.push_back(3e7f);
  EXPECT_NEAR(range_of("entropy", {}, values).amax(), 2.0f, 0.04f);
  // A third of all values is no outlier.
  std::vector<float> two_sizes(1000, 1e-6f);
  two_sizes.resize(1500, 1.0f);
  EXPECT_EQ(range_of("entropy", {}, two_sizes).amax(), 1.0f);
}

double brute_force_error(const std::vector<float>& values, float amax, int bits) {
  const float scale = symmetric_scale(amax, bits);
  const int32_t top = (1 << (bits - 1)) - 1;
  double error = 0;
  for (const float x : values) {
    const int32_t code = quantize_value(x, scale, 0, {bits == 8 ? -128 : -top, top});
    error += std::pow(static_cast<double>(x) - static_cast<double>(dequantize_value(code, scale, 0)), 2);
  }
  return error;
}

TEST(Mse, ErrorIsTheLeastWithinOnePerCent) {
  for (const Distribution& distribution : distributions()) {
    const std::vector<float> values = draw(20'000, 31, distribution.sample);
    float amax = 0;
    for (const float x : values) amax = std::max(amax, std::fabs(x));
    for (const int bits : {8, 4, 2}) {
      double least = std::numeric_limits<double>::infinity();
      for (int i = 30; i <= 400; ++i) {
        least = std::min(least, brute_force_error(values, amax * static_cast<float>(i) / 400, bits));
      }
      const float chosen = range_of("mse", {.bits = bits}, values).amax();
      EXPECT_LE(brute_force_error(values, chosen, bits), 1.01 * least)
          << distribution.name << ", " << bits << " bits, " << chosen;
    }
  }
}

TEST(Mse, ClosedForm) {
  // Uniform on [-1, 1], n codes a side: rounding costs (c/n)^2 / 12, clipping (1 - c)^3 / 3 of all; the sum
  // is least where c (1/n^2) / 6 = (1 - c)^2 with the share c of values that is rounded (terms of higher
  // order in 1/n left out).
  for (const int bits : {4, 6, 8}) {
    const double n = (1 << (bits - 1)) - 1;
    const auto cost = [&](double c) { return c * c * c / (n * n) / 12 + std::pow(1 - c, 3) / 3; };
    double best = 1;
    for (double c = 0.5; c < 1; c += 1e-4) best = cost(c) < cost(best) ? c : best;
    const std::vector<float> values = draw(400'000, 41, [](Random& r) { return r.uniform(-1, 1); });
    EXPECT_NEAR(range_of("mse", {.bits = bits}, values).amax(), best, 0.02) << bits;
  }
  // Values on a grid of 127 codes cost nothing at the grid's own range.
  std::vector<float> grid;
  for (int i = 0; i < 12'700; ++i) grid.push_back(static_cast<float>(i % 127 + 1) / 32);
  EXPECT_NEAR(range_of("mse", {}, grid).amax(), 127.0f / 32, 0.01f);
  // 2 bits of a normal distribution, codes -c, 0, c: the classic three-level quantizer with a dead zone of
  // c/2 a side has its least error at c = 1.224 (Max 1960, three levels: 1.224).
  const std::vector<float> normal = draw(400'000, 42, [](Random& r) { return r.normal(); });
  EXPECT_NEAR(range_of("mse", {.bits = 2}, normal).amax(), 1.224f, 0.0122f);
}

TEST(Mse, AffineCodesOfOneSidedDataReachAllSteps) {
  const std::vector<float> values =
      draw(100'000, 43, [](Random& r) { return std::max(r.normal() + 0.5f, 0.0f); });
  const Range symmetric = range_of("mse", {.bits = 4}, values);
  const Range affine = range_of("mse", {.bits = 4, .codes = Codes::Affine}, values);
  // 15 steps instead of 7: less rounding, so a wider range is the best one.
  EXPECT_GT(affine.high, 1.1f * symmetric.high);
  EXPECT_EQ(affine.low, 0.0f);
}

ValueHistogram histogram_of(const std::vector<float>& values) {
  ValueHistogram histogram;
  histogram.add(values);
  return histogram;
}

TEST(QuantizationError, IsThatOfBruteForce) {
  for (const Distribution& distribution : distributions()) {
    const std::vector<float> values = draw(20'000, 51, distribution.sample);
    const ValueHistogram histogram = histogram_of(values);
    for (const int bits : {8, 4, 2}) {
      for (const float share : {1.0f, 0.7f, 0.3f}) {
        const Range range = histogram.cut_at(histogram.widest().amax() * share);
        const CodeGrid grid = grid_of(range, {.bits = bits});
        const double expected = brute_force_error(values, range.amax(), bits);
        EXPECT_NEAR(SquaredError(histogram).of(grid), expected, 0.02 * expected) << distribution.name;
      }
    }
  }
}

TEST(QuantizationError, GridOfARange) {
  const CodeGrid symmetric = grid_of({-1, 12.7f}, {});
  EXPECT_NEAR(symmetric.step, 0.1, 1e-6);
  EXPECT_EQ(symmetric.above, 127);
  EXPECT_EQ(symmetric.below, 128);
  EXPECT_EQ(grid_of({-1, 1}, {.bits = 4}).below, 7);
  const CodeGrid affine = grid_of({-1, 4.1f}, {.codes = Codes::Affine});
  EXPECT_NEAR(affine.step, 0.02, 1e-6);
  EXPECT_EQ(affine.below, 50);
  EXPECT_EQ(affine.above, 205);
  EXPECT_EQ(grid_of({1, 2}, {.codes = Codes::Affine}).below, 0);
  EXPECT_EQ(grid_of({0, 0}, {}).step, 0);
  EXPECT_EQ(grid_of({0, 0}, {.codes = Codes::Affine}).step, 0);
}

TEST(Auto, WidestOfThoseWithTheLeastError) {
  for (const Distribution& distribution : distributions()) {
    for (const int bits : {8, 4}) {
      const CalibratorOptions options{.bits = bits};
      const std::vector<float> values = draw(50'000, 61, distribution.sample);
      const auto chosen = calibrator_named("auto").make(options);
      chosen->observe(values);
      float widest = 0;
      const double least = brute_force_error(values, range_of("mse", options, values).amax(), bits);
      const double near = 1 + 0.1 * ((1 << (bits - 1)) - 1) / 127;
      for (const char* other : {"max", "percentile", "entropy", "mse"}) {
        const Range range = range_of(other, options, values);
        if (chosen->picked() == other) {
          EXPECT_EQ(chosen->range(), range) << distribution.name;
        }
        // Those at the very limit may fall on either side of it.
        if (brute_force_error(values, range.amax(), bits) < 0.98 * near * least) {
          widest = std::max(widest, range.amax());
        }
      }
      EXPECT_GE(chosen->range().amax(), widest) << distribution.name;
      EXPECT_LE(brute_force_error(values, chosen->range().amax(), bits), 1.02 * near * least)
          << distribution.name;
    }
  }
}

TEST(Auto, KeepsWhatIsCheapToKeepAndClipsWhatIsNot) {
  // The values of a ReLU6 that reaches its bound: nothing to gain by clipping.
  const auto relu6 = calibrator_named("auto").make({});
  relu6->observe(draw(50'000, 62, [](Random& r) { return std::clamp(3 * r.normal(), 0.0f, 6.0f); }));
  EXPECT_EQ(relu6->picked(), "max");
  EXPECT_EQ(relu6->range().high, 6.0f);
  // Four bits of a normal distribution: the widest of 50,000 values lies beyond 4, the best range at 2.7.
  const auto normal = calibrator_named("auto").make({.bits = 4});
  normal->observe(draw(50'000, 63, [](Random& r) { return r.normal(); }));
  EXPECT_LT(normal->range().amax(), 3.2f);
}

TEST(MagnitudeHistogram, CountsDoNotDependOnTheOrderAndMergesAreExact) {
  std::vector<float> values = draw(30'000, 71, [](Random& r) { return std::exp(6 * r.normal()); });
  MagnitudeHistogram as_drawn, upwards, left, right;
  as_drawn.add(values);
  left.add(std::span(values).first(10'000));
  right.add(std::span(values).subspan(10'000));
  std::sort(values.begin(), values.end());
  upwards.add(values);
  right.merge(left);
  const auto same = [](const MagnitudeHistogram& a, const MagnitudeHistogram& b) {
    StateWriter x, y;
    a.save(x);
    b.save(y);
    return x.bytes() == y.bytes();
  };
  EXPECT_TRUE(same(as_drawn, upwards));
  EXPECT_TRUE(same(as_drawn, right));
  uint64_t counted = 0;
  const float amax = values.back();
  for (const MagnitudeHistogram::Bin& bin : as_drawn.bins()) {
    const auto begin = std::lower_bound(values.begin(), values.end(), bin.low);
    const auto end = std::lower_bound(values.begin(), values.end(), bin.low + bin.width);
    EXPECT_EQ(static_cast<uint64_t>(end - begin), bin.count) << bin.low;
    EXPECT_TRUE(bin.width <= amax / 32768 || bin.width <= bin.low / 256);
    counted += bin.count;
  }
  EXPECT_EQ(counted, as_drawn.count());
}

}  // namespace
}  // namespace kvant::quant
