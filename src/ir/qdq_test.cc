// SPDX-License-Identifier: Apache-2.0
#include "ir/qdq.h"

#include <gtest/gtest.h>

#include <string>

#include "ir/statistics.h"
#include "ir/text.h"

namespace kvant::ir {
namespace {

Graph one_input() {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::Float32, Shape{kUnknownDim, 3}});
  graph.add_output(graph.add("Relu", "r", {x}));
  return graph;
}

TEST(Qdq, ParametersOfEveryForm) {
  const auto params = [](const std::string& body) {
    const Graph graph =
        parse("graph \"g\" { input %x: f32[2,3] const %s: f32[] = {0.5} const %s3: f32[3] = {1, 2, 3} " +
              body + " output %q }");
    return params_of(graph, graph.find_node("q"));
  };
  EXPECT_EQ(params("%q = QuantizeLinear \"q\" (%x, %s)")->dtype, DType::UInt8);
  EXPECT_EQ(params("%q = QuantizeLinear \"q\" (%x, %s) {output_dtype = 3}")->dtype, DType::Int8);
  const auto shifted = params("const %z: u8[] = {128} %q = QuantizeLinear \"q\" (%x, %s, %z)");
  EXPECT_EQ(shifted->zero_point, std::vector<int32_t>{128});
  EXPECT_TRUE(shifted->per_tensor());
  const auto channels =
      params("const %z: i8[3] = {0, 0, 0} %q = QuantizeLinear \"q\" (%x, %s3, %z) {axis = -1}");
  EXPECT_EQ(channels->axis, 1);
  EXPECT_EQ(channels->scale, (std::vector<float>{1, 2, 3}));
  EXPECT_TRUE(channels->zero_point.empty());
  EXPECT_FALSE(params("%q = QuantizeLinear \"q\" (%x, %s3) {axis = 2}").has_value());
  EXPECT_FALSE(params("%q = QuantizeLinear \"q\" (%x, %s3) {block_size = 2}").has_value());
  EXPECT_FALSE(params("%a = Abs \"a\" (%s) %q = QuantizeLinear \"q\" (%x, %a)").has_value());
  EXPECT_FALSE(params("%q = Relu \"q\" (%x)").has_value());
}

TEST(Qdq, AddedPairsAreFoundAgain) {
  for (const int bits : {8, 4, 2}) {
    Graph graph = one_input();
    const ValueId x = graph.inputs()[0];
    const Quantized made =
        add_pair(graph, x, {.dtype = DType::Int8, .scale = {0.25f}, .zero_point = {}}, bits);
    const auto found = quantized_behind(graph, made.result);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->source, x);
    EXPECT_EQ(found->clip, made.clip);
    EXPECT_EQ(found->clip == kNone, bits == 8);
    EXPECT_EQ(found->params, made.params);
    EXPECT_EQ(found->range,
              bits == 8 ? (IntRange{-128, 127}) : (IntRange{-made.range.high, made.range.high}));
    EXPECT_EQ(quantized_forms(graph, x).size(), 1u);
    EXPECT_EQ(quantized_source(graph, made.result), x);
    EXPECT_EQ(graph.producer(made.result)->name, "x_DequantizeLinear");
  }
}

TEST(Qdq, SetParamsMovesScalesAndClip) {
  Graph graph = one_input();
  const ValueId x = graph.inputs()[0];
  const Quantized pair = add_pair(graph, x, {.dtype = DType::Int8, .scale = {0.25f}, .zero_point = {}}, 4);
  QuantParams wider = pair.params;
  wider.scale = {0.5f};
  set_params(graph, pair, wider);
  const auto found = quantized_behind(graph, pair.result);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->params.scale, std::vector<float>{0.5f});
  EXPECT_EQ(found->range, (IntRange{-7, 7}));
  EXPECT_EQ(graph.constant(graph.node(pair.clip).inputs[2])->to_floats()[0], 3.5f);
}

TEST(Qdq, ActivationClipsAreNoCodeClips) {
  const Graph graph = parse(R"(graph "g" { input %x: f32[2] const %lo: f32[] = {0} const %hi: f32[] = {6}
    const %s: f32[] = {0.1} const %z: i8[] = {0}
    %c = Clip "c" (%x, %lo, %hi) %q = QuantizeLinear "q" (%c, %s, %z)
    %d = DequantizeLinear "d" (%q, %s, %z) output %d })");
  const auto found = quantized_behind(graph, graph.find_value("d"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->clip, kNone);
  EXPECT_EQ(found->source, graph.find_value("c"));
}

TEST(Qdq, IntegerConstantsHaveNoSource) {
  const Graph graph = parse(R"(graph "g" { const %w: i8[2,2] = {1, 2, 3, 4} const %s: f32[] = {0.1}
    meta "kvant.bits" = "4"
    %d = DequantizeLinear "d" (%w, %s) output %d })");
  const auto found = quantized_behind(graph, graph.find_value("d"));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->source, kNone);
  EXPECT_EQ(found->codes, graph.find_value("w"));
  EXPECT_EQ(found->range, (IntRange{-7, 7}));
  EXPECT_EQ(quantized_source(graph, graph.find_value("d")), graph.find_value("d"));
}

TEST(Statistics, CountsWhatAModelHolds) {
  const Graph graph = parse(R"(graph "g" { input %x: f32[N,4,8,8] const %w: f32[6,2,3,3] = rand(1)
    const %b: f32[6] = rand(2) const %s: f32[] = {0.1} const %z: i8[] = {0}
    %q: i8[N,4,8,8] = QuantizeLinear "q" (%x, %s, %z) %d: f32[N,4,8,8] = DequantizeLinear "d" (%q, %s, %z)
    %wq: i8[6,2,3,3] = QuantizeLinear "wq" (%w, %s, %z) %wd: f32[6,2,3,3] = DequantizeLinear "wd" (%wq, %s, %z)
    %c: f32[N,6,6,6] = Conv "c" (%d, %wd, %b) {group = 2} %y: f32[N,6,6,6] = Relu "y" (%c) output %y })");
  EXPECT_EQ(count_parameters(graph), 6 * 2 * 9 + 6);
  EXPECT_EQ(count_macs(graph), 6 * 36 * 2 * 9);
  EXPECT_EQ(count_operators(graph).at("QuantizeLinear"), 2);
  const QdqSummary summary = summarize_qdq(graph);
  EXPECT_EQ(summary.activation_pairs, 1);
  EXPECT_EQ(summary.weight_pairs, 1);
  EXPECT_EQ(summary.quantized_nodes, std::vector<std::string>{"c"});
  EXPECT_EQ(summary.float_nodes, std::vector<std::string>{"y"});
}

}  // namespace
}  // namespace kvant::ir
