// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include "quant/adjust/adjust_testing.h"

namespace kvant::quant {
namespace {

// A norm with outlier channels, as transformers have them, and two linear layers behind it.
const std::string kBlock = R"(input %x: f32[N,5,8]
    const %g: f32[8] = {1.0, 40.0, 0.5, 1.0, 0.1, 1.0, 20.0, 1.0}
    const %b: f32[8] = rand(1)
    %n = LayerNormalization "ln" (%x, %g, %b)
    const %w: f32[8,6] = rand(2)
    const %v: f32[8,4] = rand(3)
    %q = MatMul "q" (%n, %w)
    %k = MatMul "k" (%n, %v)
    output %q
    output %k)";

double error_of(const ir::Graph& model, const std::vector<std::string>& steps) {
  QuantizeOptions options;
  options.adjust = steps;
  const QuantizeResult result = quantize(model, ops::standard(), noise_set({5, 8}, 4), interpret, options);
  const Tensor x = noise({4, 5, 8}, 9);
  return squared_error(evaluated(model, x)[0], evaluated(result.graph, x)[0]);
}

TEST(Smooth, KeepsTheFunctionAndLowersTheError) {
  ir::Graph graph = parsed(kBlock);
  const ir::Graph before = graph;
  EXPECT_EQ(apply_step("smooth", graph, noise_set({5, 8}, 4)), "1 of 1 tensors that linear layers read");
  EXPECT_NE(graph.find_value("n_smoothed"), ir::kNone);
  const Tensor x = noise({3, 5, 8}, 9);
  for (size_t i = 0; i < 2; ++i)
    EXPECT_LE(max_abs_difference(evaluated(before, x)[i], evaluated(graph, x)[i]), 1e-4);
  EXPECT_LT(error_of(before, {"smooth"}), 0.5 * error_of(before, {}));
}

TEST(Smooth, TakesNormsWrittenInParts) {
  ir::Graph graph = parsed(R"(input %x: f32[N,5,8]
    const %g: f32[8] = {1.0, 40.0, 0.5, 1.0, 0.1, 1.0, 20.0, 1.0}
    const %b: f32[8] = rand(1)
    %s = Softmax "soft" (%x)
    %m = Mul "scale" (%s, %g)
    %n = Add "shift" (%m, %b)
    const %w: f32[8,6] = rand(2)
    %out = MatMul "q" (%n, %w)
    output %out)");
  const ir::Graph before = graph;
  EXPECT_EQ(apply_step("smooth", graph, noise_set({5, 8}, 4)), "1 of 1 tensors that linear layers read");
  const Tensor x = noise({3, 5, 8}, 9);
  EXPECT_LE(max_abs_difference(evaluated(before, x)[0], evaluated(graph, x)[0]), 1e-4);
}

TEST(Smooth, LeavesTensorsThatOthersRead) {
  ir::Graph graph = parsed(kBlock + "\noutput %n");
  EXPECT_EQ(apply_step("smooth", graph, noise_set({5, 8}, 1)), "0 of 0 tensors that linear layers read");
  ir::Graph gelu = parsed(R"(input %x: f32[N,5,8]
    %n = Gelu "g" (%x)
    const %w: f32[8,6] = rand(2)
    %out = MatMul "q" (%n, %w)
    output %out)");
  EXPECT_EQ(apply_step("smooth", gelu, noise_set({5, 8}, 1)), "0 of 0 tensors that linear layers read");
}

TEST(Smooth, AStrengthThatIsGivenIsTaken) {
  ir::Graph graph = parsed(kBlock);
  const ir::Graph before = graph;
  AdjustOptions options;
  options.smooth_strength = 1.0;
  apply_step("smooth", graph, noise_set({5, 8}, 4), nullptr, options);
  // All channels of the norm have one range now, but for the floor of 1/64.
  ir::Graph part = graph;
  part.set_outputs({graph.find_value("n_smoothed")});
  const Tensor n = evaluated(part, noise({4, 5, 8}, 100))[0];
  std::vector<float> magnitude(8, 0.0f);
  for (size_t i = 0; i < static_cast<size_t>(n.size()); ++i)
    magnitude[i % 8] = std::max(magnitude[i % 8], std::fabs(n.data<float>()[i]));
  EXPECT_LT(*std::max_element(magnitude.begin(), magnitude.end()) /
                *std::min_element(magnitude.begin(), magnitude.end()),
            6);
}

}  // namespace
}  // namespace kvant::quant
