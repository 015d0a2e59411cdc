// SPDX-License-Identifier: Apache-2.0
// The contract of all calibrators, calibration over a graph, and the ranges file.
#include "quant/calibrate/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/random.h"
#include "ir/infer.h"
#include "ir/text.h"
#include "ops/ops.h"

namespace kvant::quant {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

std::vector<float> draw(size_t n, uint64_t seed, const std::function<float(Random&)>& sample) {
  Random random(seed);
  std::vector<float> values(n);
  for (float& value : values) value = sample(random);
  return values;
}

class CalibratorContract : public testing::TestWithParam<CalibratorEntry> {
 protected:
  std::unique_ptr<Calibrator> make() const { return GetParam().make({}); }
};

TEST_P(CalibratorContract, OrderAndSizeOfBatchesDoNotMatter) {
  const std::vector<float> values = draw(10'000, 1, [](Random& r) { return r.normal(); });
  const auto whole = make(), forward = make(), backward = make();
  whole->observe(values);
  for (size_t i = 0; i < values.size(); i += 625) forward->observe({values.data() + i, 625});
  for (size_t i = values.size(); i > 0; i -= 1000) backward->observe({values.data() + i - 1000, 1000});
  EXPECT_EQ(whole->range(), forward->range());
  EXPECT_EQ(whole->range(), backward->range());
  EXPECT_GT(whole->range().amax(), 3.0f);
}

TEST_P(CalibratorContract, ConstantsGiveTheirValue) {
  for (const float value : {0.0f, 1.0f, -2.5f, 3e-30f, 1e30f}) {
    const auto calibrator = make();
    calibrator->observe(std::vector<float>(100, value));
    EXPECT_NEAR(calibrator->range().amax(), std::fabs(value), std::fabs(value) * 0.005f) << value;
  }
}

TEST_P(CalibratorContract, RangeLiesWithinWhatWasSeen) {
  const auto calibrator = make();
  calibrator->observe(draw(5000, 2, [](Random& r) { return std::max(r.normal(), 0.0f); }));
  EXPECT_EQ(calibrator->range().low, 0.0f);
  EXPECT_GT(calibrator->range().high, 2.5f);
  EXPECT_LT(calibrator->range().high, 6.0f);
}

TEST_P(CalibratorContract, NothingSeenIsZero) {
  EXPECT_EQ(make()->range(), (Range{0, 0}));
  const auto calibrator = make();
  calibrator->observe({});
  EXPECT_EQ(calibrator->range(), (Range{0, 0}));
}

TEST_P(CalibratorContract, SurvivesOutliersAtAnyTime) {
  // One value in 200,000 is the whole range of `max`, and nearly all of the error that `mse` and `auto`
  // weigh.
  const bool keeps_outliers = GetParam().name != "percentile" && GetParam().name != "entropy";
  for (const bool first : {true, false}) {
    const auto calibrator = make();
    const std::vector<float> outlier{1e6f};
    if (first) calibrator->observe(outlier);
    calibrator->observe(draw(200'000, 3, [](Random& r) { return r.uniform(-1, 1); }));
    if (!first) calibrator->observe(outlier);
    const float amax = calibrator->range().amax();
    EXPECT_TRUE(keeps_outliers ? amax == 1e6f : std::fabs(amax - 0.9999f) < 0.01f) << amax;
  }
}

INSTANTIATE_TEST_SUITE_P(All, CalibratorContract,
                         testing::ValuesIn(calibrators().begin(), calibrators().end()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Percentile, WithinOnePerCentOfBruteForce) {
  const std::vector<std::pair<const char*, std::function<float(Random&)>>> distributions = {
      {"normal", [](Random& r) { return r.normal(); }},
      {"half normal", [](Random& r) { return std::fabs(r.normal()); }},
      {"uniform", [](Random& r) { return r.uniform(-3, 5); }},
      {"Laplace", [](Random& r) { return (r.uniform() < 0.5f ? -1 : 1) * -std::log(1 - r.uniform()); }},
      {"log-normal", [](Random& r) { return std::exp(2 * r.normal()); }},
      {"relu", [](Random& r) { return std::max(r.normal() - 1, 0.0f); }},
  };
  for (const auto& [name, sample] : distributions) {
    std::vector<float> values = draw(200'000, 11, sample);
    for (const double percentile : {50.0, 99.0, 99.9, 99.99, 100.0}) {
      const auto calibrator = calibrator_named("percentile").make({.percentile = percentile});
      for (size_t i = 0; i < values.size(); i += 1000) calibrator->observe({values.data() + i, 1000});
      std::vector<float> magnitudes;
      for (const float value : values) magnitudes.push_back(std::fabs(value));
      const auto rank =
          static_cast<size_t>(std::ceil(percentile / 100 * static_cast<double>(values.size()))) - 1;
      std::nth_element(magnitudes.begin(), magnitudes.begin() + static_cast<ptrdiff_t>(rank),
                       magnitudes.end());
      const float expected = magnitudes[rank];
      EXPECT_NEAR(calibrator->range().amax(), expected, 0.01f * expected) << name << " " << percentile;
    }
  }
}

TEST(Percentile, ClosedForm) {
  // |x| of a uniform on [-1, 1] is uniform on [0, 1]: its p-quantile is p.
  const auto calibrator = calibrator_named("percentile").make({.percentile = 90});
  for (int i = 0; i < 50; ++i) {
    calibrator->observe(draw(20'000, static_cast<uint64_t>(i), [](Random& r) { return r.uniform(-1, 1); }));
  }
  EXPECT_NEAR(calibrator->range().amax(), 0.9f, 0.009f);
}

TEST(Calibrators, UnknownNameAndBadOptions) {
  EXPECT_EQ(message_of([] { calibrator_named("maximum"); }),
            "there is no calibrator 'maximum' (nearest: max, mse, auto)");
  EXPECT_EQ(message_of([] { calibrator_named("percentile").make({.percentile = 0}); }),
            "percentile 0: it must be above 0 and at most 100");
  EXPECT_EQ(message_of([] { calibrator_named("percentile").make({.percentile = 100.5}); }),
            "percentile 100.5: it must be above 0 and at most 100");
  for (const CalibratorEntry& entry : calibrators()) {
    if (entry.name == "max") continue;
    EXPECT_EQ(message_of([&] { entry.make({.bits = 9}); }), "9 bits: quantization takes 2 to 8");
    EXPECT_EQ(message_of([&] { entry.make({.bits = 1}); }), "1 bits: quantization takes 2 to 8");
  }
}

class Calibrate : public testing::Test {
 protected:
  Calibrate()
      : graph_(ir::parse(R"(graph "g" { input %x: f32[N,4]
    const %k: f32[4] = {1, 10, 100, 1000}
    %y = Mul "y" (%x, %k)
    %z = Log "z" (%x)
    output %y
    output %z })")),
        runner_(graph_, ops::standard()) {}

  CalibrationTable run(const std::vector<std::string>& tensors, const BatchSource& batches) {
    return calibrate(graph_, tensors, runner_, batches);
  }

  ir::Graph graph_;
  ir::Interpreter runner_;
};

TEST_F(Calibrate, WatchesInputsAndInnerTensorsOverAllBatches) {
  const CalibrationTable table =
      run({"x", "y"}, batches_of({{Tensor::of<float>({1, 4}, {1, 2, 3, 4})},
                                  {Tensor::of<float>({2, 4}, {1, 1, 1, 1, 0.5f, 0.25f, 0.125f, 5})}}));
  EXPECT_EQ(table.samples, 3);
  EXPECT_EQ(table.calibrator, "max");
  EXPECT_EQ(table.ranges.at("x"), (Range{0.125f, 5}));
  EXPECT_EQ(table.ranges.at("y"), (Range{0.5f, 5000}));
}

TEST_F(Calibrate, CalibratorAndBitsOfEachTensor) {
  CalibrateOptions options{.calibrator = "mse"};
  options.calibrator_of = {{"y", "max"}, {"not calibrated", "percentile"}};
  options.bits_of = {{"x", 3}};
  Random random(3);
  Tensor input(DType::Float32, {500, 4});
  for (float& value : input.mutable_data<float>()) value = random.normal();
  const auto run_with = [&](const CalibrateOptions& o) {
    return calibrate(graph_, {"x", "y"}, runner_, batches_of({{input}}), o);
  };
  const CalibrationTable table = run_with(options);
  EXPECT_EQ(table.calibrator, "");
  EXPECT_EQ(table.calibrator_of, (std::map<std::string, std::string>{{"x", "mse"}, {"y", "max"}}));
  EXPECT_GT(table.ranges.at("y").amax(), 2500.0f);
  // 3 bits clip far more than 8 do, and every other option is as if there were no map.
  EXPECT_LT(table.ranges.at("x").amax(), 0.8f * run_with({.calibrator = "mse"}).ranges.at("x").amax());
  EXPECT_EQ(table.ranges.at("x"), run_with({.calibrator = "mse", .options = {.bits = 3}}).ranges.at("x"));

  options.calibrator_of["y"] = "maks";
  EXPECT_EQ(message_of([&] { run_with(options); }),
            "there is no calibrator 'maks' (nearest: max, mse, auto)");
  options.calibrator_of.clear();
  options.bits_of["x"] = 9;
  EXPECT_EQ(message_of([&] { run_with(options); }), "9 bits: quantization takes 2 to 8");
}

TEST_F(Calibrate, Refusals) {
  const auto one = [](float value) { return batches_of({{Tensor::full({1, 4}, value)}}); };
  EXPECT_EQ(message_of([&] { run({"x"}, batches_of(std::vector<std::vector<Tensor>>{})); }),
            "the calibration set is empty: give at least one sample");
  EXPECT_EQ(message_of([&] { run({"w"}, one(1)); }), "the model has no tensor 'w' to calibrate");
  EXPECT_THAT(message_of([&] { run({"z"}, one(0)); }),
              HasSubstr("tensor 'z' holds NaN or infinity in calibration batch 0"));
  EXPECT_THAT(message_of([&] { run({"x"}, one(NAN)); }), HasSubstr("tensor 'x' holds NaN or infinity"));
  EXPECT_THAT(message_of([&] {
                run({"x"}, batches_of({{Tensor::full({1, 5}, 1)}}));
              }),
              HasSubstr("input 'x' takes shape ?x4, got 1x5"));
}

// Every octave of float is touched by the first batch; from then on nothing more may be held.
TEST(Calibrators, MemoryDoesNotGrowWithTheNumberOfValues) {
  for (const CalibratorEntry& entry : calibrators()) {
    const auto calibrator = entry.make({});
    const std::vector<float> wide = draw(100'000, 5, [](Random& r) {
      return std::ldexp(1 + r.uniform(), static_cast<int>(r.below(253)) - 126);
    });
    const size_t before = mallinfo2().uordblks;
    calibrator->observe(wide);
    const size_t after_one = mallinfo2().uordblks;
    for (int i = 0; i < 20; ++i) calibrator->observe(wide);
    EXPECT_EQ(mallinfo2().uordblks, after_one) << entry.name;
    EXPECT_LE(after_one - before, size_t{9} << 17) << entry.name;
  }
}

TEST(RangesFile, RoundTripIsExact) {
  CalibrationTable table{.calibrator = "percentile", .samples = 512, .ranges = {}};
  table.ranges["conv1"] = {-0.1f, 3.3333333f};
  table.ranges["odd \"name\"\\ with\ttab and \xC3\xA9"] = {0, 1e-38f};
  table.ranges["large"] = {-3.4e38f, 3.4e38f};
  EXPECT_EQ(table_from_json(to_json(table)), table);
  EXPECT_EQ(table_from_json(to_json(CalibrationTable{})), CalibrationTable{});
}

TEST(RangesFile, RefusesWhatIsNoTable) {
  const auto with = [](const std::string& ranges) {
    return "{\"format\": \"kvant-ranges\", \"version\": 1, \"ranges\": {" + ranges + "}}";
  };
  const auto error = [](const std::string& text) { return message_of([&] { table_from_json(text); }); };
  EXPECT_EQ(error(with("\"a\": [0, 1]")), "no error");
  EXPECT_EQ(error("[]"), "ranges file, line 1, column 1: '{' expected");
  EXPECT_THAT(error("{\"format\": \"other\", \"version\": 1}"),
              HasSubstr("\"format\" is not \"kvant-ranges\""));
  EXPECT_THAT(error("{\"format\": \"kvant-ranges\", \"version\": 2}"), HasSubstr("version 2 is not known"));
  EXPECT_THAT(error(with("\"a\": [2, 1]")), HasSubstr("range of 'a' runs backwards"));
  EXPECT_THAT(error(with("\"a\": [nan, 1]")), HasSubstr("a finite number expected"));
  EXPECT_THAT(error(with("\"a\": [0, 1e99]")), HasSubstr("a number beyond float32"));
  EXPECT_THAT(error(with("\"a\": [0, 1], \"a\": [0, 1]")), HasSubstr("tensor 'a' is given twice"));
  EXPECT_THAT(error("{\"rangs\": {}}"), HasSubstr("unknown key 'rangs'"));
  const std::string whole = to_json({.calibrator = "max", .samples = 1, .ranges = {{"a", {0, 1}}}});
  for (size_t n = 0; n + 2 < whole.size(); ++n) EXPECT_THROW(table_from_json(whole.substr(0, n)), Error) << n;
}

}  // namespace
}  // namespace kvant::quant
