// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <bit>

#include "ir/qdq.h"
#include "quant/adjust/adjust_testing.h"
#include "quant/adjust/channel_statistics.h"
#include "quant/adjust/dense_product.h"
#include "quant/adjust/layer_rows.h"
#include "quant/adjust/rounding.h"
#include "quant/adjust/weighted_layer.h"

namespace kvant::quant {
namespace {

TEST(DenseProduct, EqualsTheSumsForEverySizeAndThreadCount) {
  for (const auto& [rows, depth, columns] :
       {std::array<int64_t, 3>{1, 1, 1}, {4, 256, 32}, {7, 300, 45}, {13, 5, 70}}) {
    const Tensor a = noise({rows, depth}, 1), b = noise({depth, columns}, 2);
    std::vector<float> first;
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      std::vector<float> c(static_cast<size_t>(rows * columns), 0.5f);
      add_product(a.data<float>().data(), b.data<float>().data(), c.data(), rows, depth, columns, pool);
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          double sum = 0.5;
          for (int64_t k = 0; k < depth; ++k)
            sum += static_cast<double>(a.data<float>()[static_cast<size_t>(i * depth + k)]) *
                   b.data<float>()[static_cast<size_t>(k * columns + j)];
          EXPECT_NEAR(c[static_cast<size_t>(i * columns + j)], sum, 1e-4);
        }
      }
      if (first.empty()) first = c;
      EXPECT_EQ(first, c);
    }
  }
}

// A problem of one output with correlated inputs, many samples, and the float layer as target.
RoundingProblem correlated(int64_t depth, std::span<const float> weights, float scale, ThreadPool& pool) {
  const int64_t rows = 4000;
  const Tensor base = noise({rows, depth}, 3);
  std::vector<float> x(static_cast<size_t>(rows * depth)), y(static_cast<size_t>(rows), 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    const float shared = base.data<float>()[static_cast<size_t>(r * depth)];
    for (int64_t j = 0; j < depth; ++j) {
      const auto i = static_cast<size_t>(r * depth + j);
      x[i] = shared + 0.5f * base.data<float>()[i] + 1;
      y[static_cast<size_t>(r)] += scale * weights[static_cast<size_t>(j)] * x[i];
    }
  }
  RoundingProblem problem{depth, {}, {}, 0};
  problem.add(x, y, pool);
  problem.finish();
  return problem;
}

double error_of(const RoundingProblem& p, std::span<const float> weights, float scale,
                const std::vector<float>& codes) {
  const auto n = static_cast<size_t>(p.depth);
  double error = 0;  // E[(s q x - y)^2] without the part that no code changes
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j)
      error += static_cast<double>(scale) * scale * codes[i] * codes[j] * p.gram[i * n + j];
    error -= 2.0 * scale * codes[i] * p.cross[i];
  }
  (void)weights;
  return error;
}

TEST(Rounding, ReachesTheBestOfAllRoundings) {
  constexpr int64_t kDepth = 10;
  const float scale = 0.1f;
  ThreadPool pool(2);
  Random random(7);
  std::vector<float> weights(kDepth);
  for (float& w : weights) w = random.uniform(-7, 7);
  const RoundingProblem problem = correlated(kDepth, weights, scale, pool);
  double best = 1e30, nearest = 0;
  for (int mask = 0; mask < 1 << kDepth; ++mask) {
    std::vector<float> codes(kDepth);
    for (size_t j = 0; j < kDepth; ++j) codes[j] = std::floor(weights[j]) + static_cast<float>(mask >> j & 1);
    best = std::min(best, error_of(problem, weights, scale, codes));
  }
  std::vector<float> rounded(kDepth);
  for (size_t j = 0; j < kDepth; ++j) rounded[j] = std::nearbyint(weights[j]);
  nearest = error_of(problem, weights, scale, rounded);
  const std::vector<float> scales{scale};
  const RoundingResult result = solve_rounding(problem, weights, scales, -7, 7, {}, pool);
  const double reached = error_of(problem, weights, scale, result.codes);
  EXPECT_LE(reached - best, 0.2 * (nearest - best));
  EXPECT_LE(result.error, result.error_nearest);
  for (size_t j = 0; j < kDepth; ++j) EXPECT_LT(std::fabs(result.codes[j] - weights[j]), 1);
  ThreadPool alone(1);
  EXPECT_EQ(solve_rounding(problem, weights, scales, -7, 7, {}, alone).codes, result.codes);
}

TEST(Rounding, NearestIsKeptWhereOtherSamplesSayItIsBetter) {
  const float scale = 0.1f;
  ThreadPool pool(2);
  Random random(9);
  std::vector<float> weights(12);
  for (float& w : weights) w = random.uniform(-7, 7);
  const std::vector<float> scales{scale};
  const RoundingProblem problem = correlated(12, weights, scale, pool);
  const std::vector<float> free = solve_rounding(problem, weights, scales, -7, 7, {}, pool).codes;
  EXPECT_EQ(solve_rounding(problem, weights, scales, -7, 7, {}, pool, problem).codes, free);
  // Samples of independent inputs: nothing beats nearest rounding there.
  RoundingProblem other{.depth = 12, .gram = std::vector<float>(144, 0.0f), .cross = {}, .samples = 100};
  std::vector<float> nearest;
  for (size_t j = 0; j < 12; ++j) {
    other.gram[j * 13] = 1;
    other.cross.push_back(scale * weights[j]);
    nearest.push_back(std::nearbyint(weights[j]));
  }
  EXPECT_NE(free, nearest);
  EXPECT_EQ(solve_rounding(problem, weights, scales, -7, 7, {}, pool, other).codes, nearest);
}

TEST(Rounding, StaysWithinTheCodes) {
  ThreadPool pool(1);
  const std::vector<float> weights{7.0f, -7.0f, 6.6f, 9.5f}, scales{1.0f};
  const RoundingProblem problem = correlated(4, weights, 1, pool);
  for (const float code : solve_rounding(problem, weights, scales, -7, 7, {}, pool).codes) {
    EXPECT_LE(std::fabs(code), 7);
    EXPECT_EQ(code, std::nearbyint(code));
  }
}

TEST(LayerRows, AreWhatTheLayerMultiplies) {
  for (const char* attributes : {"{pads = [1,0,2,1], strides = [2,1]}", "{group = 2, dilations = [1,2]}",
                                 "{auto_pad = \"SAME_UPPER\", strides = [2,2]}"}) {
    const bool grouped = std::string(attributes).find("group") != std::string::npos;
    const ir::Graph graph =
        parsed(std::string("input %x: f32[2,4,7,6]\nconst %w: f32[6,") + (grouped ? "2" : "4") +
               ",3,2] = rand(1)\n%y = Conv \"c\" (%x, %w) " + attributes + "\noutput %y");
    const WeightedLayer layer = weighted_layers(graph).at(0);
    const Tensor x = noise({2, 4, 7, 6}, 3), y = evaluated(graph, x)[0];
    const auto rows = LayerRows::of(graph, layer, x.shape());
    ASSERT_TRUE(rows.has_value());
    const std::vector<float> weight = weight_values(graph, layer);
    const int64_t outputs = layer.outputs / layer.groups;
    EXPECT_EQ(rows->samples() * rows->positions() * layer.outputs, y.size());
    for (int64_t sample = 0; sample < 2; ++sample) {
      for (int64_t position = 0; position < rows->positions(); ++position) {
        for (int64_t channel = 0; channel < layer.outputs; ++channel) {
          std::vector<float> row;
          rows->gather(x.data<float>().data(), {sample, position}, channel / outputs, row);
          ASSERT_EQ(static_cast<int64_t>(row.size()), rows->depth());
          double sum = 0;
          for (size_t k = 0; k < row.size(); ++k)
            sum += static_cast<double>(row[k]) * weight[static_cast<size_t>(channel * rows->depth()) + k];
          const auto at = static_cast<size_t>(rows->result_index({sample, position}, channel));
          ASSERT_NEAR(y.data<float>()[at], sum, 1e-4) << attributes;
        }
      }
    }
  }
}

const std::string kNet = R"(input %x: f32[N,3,8,8]
    const %w: f32[8,3,3,3] = rand(1)
    const %wb: f32[8] = rand(6)
    %a = Conv "c1" (%x, %w, %wb) {pads = [1,1,1,1]}
    %r = Relu "r" (%a)
    const %v: f32[8,1,3,3] = rand(2)
    %d = Conv "c2" (%r, %v) {group = 8, pads = [1,1,1,1]}
    %s = Relu "s" (%d)
    %p = GlobalAveragePool "p" (%s)
    %f = Flatten "f" (%p)
    const %u: f32[5,8] = rand(4)
    const %ub: f32[5] = rand(5)
    %out = Gemm "m" (%f, %u, %ub) {transB = 1}
    output %out)";

// An 8-bit model whose weights lie on 4-bit codes.
QuantizeResult with_coarse_weights(const ir::Graph& model, const CalibrationSet& data) {
  QuantizeOptions options;
  options.adjust = {};
  QuantizeResult result = quantize(model, ops::standard(), data, interpret, options);
  for (const WeightedLayer& layer : weighted_layers(result.graph)) {
    QuantParams params = layer.pair->params;
    for (float& scale : params.scale) scale *= 127.0f / 7.0f;
    ir::set_params(result.graph, *layer.pair, params);
  }
  return result;
}

double error_on_new_samples(const ir::Graph& model, const ir::Graph& quantized) {
  double error = 0;
  for (uint64_t seed = 1; seed < 9; ++seed) {
    const Tensor x = noise({4, 3, 8, 8}, seed);
    error += squared_error(evaluated(model, x)[0], evaluated(quantized, x)[0]);
  }
  return error;
}

TEST(AdaRound, LowersTheErrorAndKeepsToNeighbouringCodes) {
  const ir::Graph model = parsed(kNet);
  const CalibrationSet data = noise_set({3, 8, 8}, 16);
  const QuantizeResult plain = with_coarse_weights(model, data);
  ir::Graph rounded = plain.graph;
  const std::string remark = apply_step("adaround", rounded, data, &model);
  EXPECT_LT(error_on_new_samples(model, rounded), 0.5 * error_on_new_samples(model, plain.graph)) << remark;
  for (const char* name : {"c1", "c2", "m"}) {
    const auto weight_of = [&](const ir::Graph& graph) {
      return *ir::quantized_behind(graph, graph.node(graph.find_node(name)).inputs[1]);
    };
    const ir::Quantized pair = weight_of(rounded), old = weight_of(plain.graph);
    EXPECT_EQ(pair.params, old.params);
    const std::vector<float> weight = plain.graph.constant(old.source)->to_floats();
    const Tensor stored = *rounded.constant(pair.source);
    const Tensor codes = kvant::quantize(stored, pair.params);
    // The file holds code * scale, so that Q gives the codes back exactly.
    EXPECT_EQ(kvant::dequantize(codes, pair.params), stored);
    const size_t row = weight.size() / pair.params.scale.size();
    for (size_t i = 0; i < weight.size(); ++i) {
      const float code = codes.data<int8_t>()[i], exact = weight[i] / pair.params.scale[i / row];
      EXPECT_LT(std::fabs(code - exact), 1.0001f);
    }
  }
}

// Mean of each channel of a value over the data.
std::vector<double> means_of(const ir::Graph& graph, const std::string& value, const CalibrationSet& data) {
  ir::Graph part = graph;
  part.set_outputs({graph.find_value(value)});
  ChannelStatistics statistics;
  for (const BatchSource source = data.open(); const auto batch = source();)
    statistics.add(ir::evaluate(part, ops::standard(), *batch)[0], 1);
  std::vector<double> means;
  for (size_t c = 0; c < statistics.sum.size(); ++c) means.push_back(statistics.mean(c));
  return means;
}

TEST(AdaRound, LeavesTheMeanErrorToTheBias) {
  const ir::Graph model = parsed(kNet);
  const CalibrationSet data = noise_set({3, 8, 8}, 8);
  ir::Graph rounded = with_coarse_weights(model, data).graph;
  apply_step("adaround", rounded, data, &model);  // 64 rows: all places of a sample
  for (const char* value : {"a", "d", "out"}) {
    const std::vector<double> expected = means_of(model, value, data),
                              actual = means_of(rounded, value, data);
    for (size_t c = 0; c < expected.size(); ++c)
      EXPECT_NEAR(actual[c], expected[c], 2e-4) << value << " " << c;
  }
}

TEST(Rounding, CentredProblemsAreCovariances) {
  ThreadPool pool(1);
  RoundingProblem problem{.depth = 2};
  problem.add(std::vector<float>{1, 2, 3, 6}, std::vector<float>{10, 14}, pool);
  RoundingProblem centred = problem;
  problem.finish();
  centred.finish(true);
  EXPECT_EQ(problem.gram, (std::vector<float>{5, 10, 10, 20}));
  EXPECT_EQ(problem.cross, (std::vector<float>{26, 52}));
  EXPECT_EQ(centred.gram, (std::vector<float>{1, 2, 2, 4}));
  EXPECT_EQ(centred.cross, (std::vector<float>{2, 4}));
  EXPECT_EQ(centred.mean_x, (std::vector<double>{2, 4}));
  EXPECT_EQ(centred.mean_y, (std::vector<double>{12}));
}

TEST(AdaRound, IsDeterministicWhateverTheThreads) {
  const auto once = [](int threads, uint64_t seed) {
    QuantizeOptions options;
    options.adjust = {"adaround", "bias-correction"};
    options.adjusting.threads = threads;
    options.adjusting.seed = seed;
    options.adjusting.rounding_rows = 5;
    options.bits = 4;
    return ir::print(
        quantize(parsed(kNet), ops::standard(), noise_set({3, 8, 8}, 3), interpret, options).graph);
  };
  EXPECT_EQ(once(1, 3), once(3, 3));
  EXPECT_NE(once(1, 3), once(1, 4));
}

}  // namespace
}  // namespace kvant::quant
