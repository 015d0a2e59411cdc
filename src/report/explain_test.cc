// SPDX-License-Identifier: Apache-2.0
#include "report/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "backends/backends.h"
#include "engine/engine.h"
#include "ir/infer.h"
#include "ir/qdq.h"
#include "ir/text.h"
#include "ops/ops.h"
#include "quant/placement/insert.h"
#include "quant/placement/placement.h"
#include "quant/quantize.h"
#include "zoo/zoo.h"

namespace kvant::report {
namespace {

using testing::HasSubstr;

Explanation explained(const ir::Graph& graph) {
  const auto owned = backends::all();
  std::vector<const engine::Backend*> all;
  for (const auto& backend : owned) all.push_back(backend.get());
  return explain(graph, engine::build(graph, ops::standard(), all, {.batch = 1, .threads = 1}));
}

const PairFate& fate_of(const Explanation& explanation, const std::string& node) {
  for (const PairFate& pair : explanation.qdq) {
    if (pair.node == node) return pair;
  }
  throw std::runtime_error("no " + node);
}

const ExplainedLayer& layer(const Explanation& explanation, const std::string& name) {
  for (const ExplainedLayer& layer : explanation.layers) {
    if (layer.name == name) return layer;
  }
  throw std::runtime_error("no layer " + name);
}

TEST(Explain, EveryPairOfAResidualNetworkHasAFateAndALayer) {
  ir::Graph model = zoo::create("resnet8", {.input = {3, 16, 16}});
  quant::prepare(model, ops::standard());
  const quant::Sites sites = quant::place(model);
  quant::CalibrationTable table;
  for (const std::string& name : quant::tensors_to_calibrate(sites)) table.ranges[name] = {-1, 1};
  ir::Graph graph = model;
  quant::insert_pairs(graph, sites, table);
  ir::infer_types(graph, ops::standard());
  const Explanation explanation = explained(graph);
  EXPECT_EQ(explanation.qdq.size(), 42u);  // 11 activations, 10 weights
  std::set<std::string> names;
  for (const ExplainedLayer& layer : explanation.layers) {
    names.insert(layer.name);
    EXPECT_NE(layer.precision, "");
    EXPECT_NE(layer.kernel, "");
    EXPECT_NE(layer.reason, "");
  }
  for (const PairFate& pair : explanation.qdq) {
    EXPECT_TRUE(names.contains(pair.into)) << pair.node << " into " << pair.into;
    EXPECT_EQ(pair.fate == "separate", pair.node == "input_QuantizeLinear") << pair.node << " " << pair.fate;
  }
  EXPECT_EQ(fate_of(explanation, "conv1/weight_QuantizeLinear").fate, "folded");
  EXPECT_EQ(fate_of(explanation, "conv1/weight_QuantizeLinear").into, "conv1");
  EXPECT_EQ(fate_of(explanation, "relu1_output_QuantizeLinear").into, "conv1");
  EXPECT_EQ(layer(explanation, "layer1/0/conv2").precision, "int8");
  EXPECT_THAT(layer(explanation, "layer1/0/conv2").reason, HasSubstr("layer1/0/add"));
  EXPECT_EQ(layer(explanation, "fc").precision, "int8 to float32");
}

TEST(Explain, WhatStaysInFloatSaysWhy) {
  ir::Graph graph = ir::parse(R"(graph "g" {
input %x: f32[2,8]
const %s: f32[] = {0.02} const %z: i8[] = {0} const %w: f32[8,8] = rand(1)
%q = QuantizeLinear "q" (%x, %s, %z)
%d = DequantizeLinear "d" (%q, %s, %z)
%n = Softmax "soft" (%d)
%wq = QuantizeLinear "wq" (%w, %s, %z)
%wd = DequantizeLinear "wd" (%wq, %s, %z)
%y = MatMul "mm" (%n, %wd)
output %y
})");
  ir::infer_types(graph, ops::standard());
  const Explanation explanation = explained(graph);
  EXPECT_EQ(fate_of(explanation, "d").fate, "separate");
  EXPECT_THAT(fate_of(explanation, "d").reason, HasSubstr("Softmax after it runs in float"));
  EXPECT_EQ(fate_of(explanation, "wd").fate, "folded");
  EXPECT_THAT(fate_of(explanation, "wd").reason, HasSubstr("float values"));
  EXPECT_EQ(layer(explanation, "soft").precision, "float32");
}

TEST(Explain, QuantizersMoveThroughDataMovement) {
  ir::Graph graph = ir::parse(R"(graph "g" {
input %x: f32[1,4,4,4]
const %s: f32[] = {0.02} const %z: i8[] = {0} const %w: f32[16,4,1,1] = rand(1)
%q = QuantizeLinear "q" (%x, %s, %z)
%d = DequantizeLinear "d" (%q, %s, %z)
%wq = QuantizeLinear "wq" (%w, %s, %z)
%wd = DequantizeLinear "wd" (%wq, %s, %z)
%c = Conv "conv" (%d, %wd)
%p = MaxPool "pool" (%c) {kernel_shape = [2,2]}
%q2 = QuantizeLinear "q2" (%p, %s, %z)
%y = DequantizeLinear "d2" (%q2, %s, %z)
output %y
})");
  ir::infer_types(graph, ops::standard());
  const Explanation explanation = explained(graph);
  const PairFate& moved = fate_of(explanation, "q2");
  EXPECT_TRUE(moved.fate == "moved" || moved.fate == "fused") << moved.fate;
  EXPECT_EQ(fate_of(explanation, "d2").fate, "separate");
  EXPECT_THAT(fate_of(explanation, "d2").reason, HasSubstr("float output of the network"));
}

}  // namespace
}  // namespace kvant::report
